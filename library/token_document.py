#!/usr/bin/python
"""Documentation of the action ``token_document``; the work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_document
short_description: Put a token document from the controller into a volume
description:
  - Takes a document from a file on the controller, plain or encrypted with ansible-vault, from what is piped into
    C(ansible-playbook), or from somebody who pastes it at the terminal, where it is not shown. Each of its fields is
    checked before the volume is touched.
  - It goes to a helper's stdin, and replaces the volume's document whole, under the lock. It is never an argument of a
    module, and never in a result, a log or a file.
  - Another grant of the same account and client is replaced. A newer access token of the same grant stays. A refresh
    token that was superseded, another account or another client is refused unless O(force=true).
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
    description: Takes the document, and has the helper's own dry run say what would happen.
  diff_mode:
    support: full
    description: Fingerprints, scopes, account and expiry of the document before and after; never a secret.
  idempotent:
    support: full
    description: The same document twice changes nothing.
  async:
    support: none
    description: The document is read on the controller.
  connection:
    support: full
    description: >-
      Whatever passes stdin to a command. Pipelining is not needed, because no module is sent to the host.
options:
  volume:
    description: Name of the volume; it has to exist. It is initialised if it isn't yet.
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
  mode:
    description: Mode of the volume's directory, if it has to be initialised first.
    type: str
    default: "0700"
  document_file:
    description: >-
      The document, by a path on the controller. V(-) takes what is piped into C(ansible-playbook), or asks at the
      terminal. If others on the controller can get at a plain file, a warning says so.
    type: str
    default: "-"
  timeout:
    description: Seconds to wait for what is piped in, or pasted.
    type: float
    default: 300.0
  force:
    description: Replace whatever is there, and accept a refresh token that was superseded.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Replace the document
  token_document:
    volume: token_data
    image: "{{ images_keeper }}"
    document_file: new.json
"""

RETURN = r"""
reason:
  description: >-
    C(Created) where there was no sound document, C(Replaced) where there was, C(Unchanged) where it was the very one,
    C(NewerThere) where a newer access token of the same grant stays.
  returned: success
  type: str
  sample: Replaced
generation:
  description: Generation of the document afterwards; in check mode null where the volume is still to be made.
  returned: success
  type: int
  sample: 8
volume:
  description: Owner and mode of the volume.
  returned: success
  type: dict
  sample: {uid: 999, gid: 999, mode: "0700"}
before:
  description: Facts of the volume's document before, as in M(token_volume); never a secret.
  returned: success
  type: dict
  sample: {state: sound, fingerprint: 1c1e0b7a2f0a4c55, account: assistant@example.com}
after:
  description: Facts of the volume's document afterwards; in check mode, as they would be.
  returned: success
  type: dict
  sample: {state: sound, fingerprint: 9be1a5f6c1d2e3f4, account: assistant@example.com}
error:
  description: What went wrong, for a program; C(msg) says the same to a person. Nothing was changed.
  returned: failure
  type: dict
  sample:
    type: Conflict
    reason: DifferentAccount
    message: >-
      volume token_data: /app/tokens/token.json holds a token of the account a@example.com, and the document is for
      b@example.com
    remedy: name the right file
"""
