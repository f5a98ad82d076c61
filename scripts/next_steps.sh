#!/bin/sh
# What to do after `make demo`, in the words of a terminal.
cat <<'END'

Next, in this folder:

  . .venv/bin/activate                                      # Ansible, as make demo installed it
  ansible-playbook rotate_token.yml                         # renew the token while the stack serves
  ansible-playbook playbooks/verify.yml -e mode=observe     # look, change nothing
  make down                                                 # remove the containers; README.md says what stays

README.md, "Try it", has requests for the API; inventory/example is for your own hosts.
END
