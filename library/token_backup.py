#!/usr/bin/python
"""Documentation of the action ``token_backup``; the work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_backup
short_description: Back a token up into a file of ansible-vault on the controller
description:
  - A helper encrypts the document of a Docker volume, with what has to be known to restore it safely, before it leaves
    the volume. What comes to the controller is text of C(ansible-vault) (AES256), which C(ansible-vault view) opens.
  - The vault password is the one that the operator gives any playbook (C(--vault-password-file), C(--vault-id),
    C(--ask-vault-pass), C(ANSIBLE_VAULT_PASSWORD_FILE)); of several, the one that C(ansible-vault encrypt) would take.
    It is taken from Ansible's memory and goes to the helper on stdin. It is never in an argument, a result, a log or a
    file.
  - The new file is read back from the disk and opened before any older one is removed.
version_added: "0.2.0"
author:
  - Token Keeper contributors
requirements:
  - the token_keeper package on the controller
  - the C(docker) command, 20.10 or newer, on the Docker host
attributes:
  action:
    support: full
    description: All of it runs on the controller, save for the helper.
  check_mode:
    support: full
    description: Says whether a file would be made, and which ones would go.
  diff_mode:
    support: full
    description: Fingerprints, scopes and expiry of the newest backup's document before and after; never a secret.
  idempotent:
    support: partial
    description: >-
      It makes no file where the newest backup has the very document; a renewed access token is another document. With
      O(always=true) it makes one each time.
  async:
    support: none
    description: The file is made on the controller.
  connection:
    support: full
    description: >-
      Whatever passes stdin to a command. Pipelining is not needed, because no module is sent to the host.
options:
  volume:
    description: Name of the volume.
    type: str
    required: true
  image:
    description: The keeper image, which the role C(images) makes. It is never pulled.
    type: str
    required: true
  file:
    description: File name of the token document in the volume.
    type: str
    default: token.json
  uid:
    description: User that the consumers run as.
    type: int
    default: 999
  gid:
    description: Group that the consumers run as.
    type: int
    default: 999
  docker_cli:
    description: The docker command on the Docker host, or its path.
    type: str
    default: docker
  docker_host:
    description: The engine's address, if not the one that C(DOCKER_HOST) or the docker command's context names.
    type: str
  folder:
    description: >-
      Folder on the controller for the files, which are named C(HOST+VOLUME+FILE+20261126T074300Z.vault), in UTC. It is
      made with mode 0700, and the files with 0600. Files with other names are never touched.
    type: str
    required: true
  keep:
    description: >-
      How many backups of this host and document stay. Those that the vault password does not open are neither counted
      nor removed, and a warning names them.
    type: int
    default: 10
  always:
    description: Make a file although nothing has changed in the document since the newest one.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Back the token up
  token_backup:
    volume: token_data
    image: "{{ images_keeper }}"
    folder: ~/token-backups
"""

RETURN = r"""
reason:
  description: C(Taken), or C(Unchanged) where the newest backup has the very document.
  returned: success
  type: str
  sample: Taken
path:
  description: The newest backup, on the controller; in check mode the one that is there now, if any.
  returned: success
  type: str
  sample: /home/ann/token-backups/demo+token_data+token.json+20261126T074300Z.vault
kept:
  description: Backups that are there afterwards and can be opened.
  returned: success
  type: int
  sample: 3
removed:
  description: Names of those that were too many.
  returned: success
  type: list
  elements: str
  sample: [demo+token_data+token.json+20261101T030000Z.vault]
generation:
  description: Generation of the document.
  returned: success
  type: int
  sample: 7
before:
  description: Facts of the newest backup's document before, as in M(token_volume); never a secret.
  returned: success
  type: dict
  sample: {state: sound, fingerprint: 1c1e0b7a2f0a4c55, account: assistant@example.com}
after:
  description: Facts of the newest backup's document afterwards; in check mode, as they would be.
  returned: success
  type: dict
  sample: {state: sound, fingerprint: 9be1a5f6c1d2e3f4, account: assistant@example.com}
error:
  description: What went wrong, for a program; C(msg) says the same to a person. Nothing was changed.
  returned: failure
  type: dict
  sample:
    type: BackupError
    reason: PasswordMissing
    message: >-
      what is encrypted needs one, and no vault password is given
    remedy: give the vault password as for any playbook
"""
