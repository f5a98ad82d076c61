#!/usr/bin/python
"""Documentation of the action ``token_restore``; the work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_restore
short_description: Put a backup of a token back into a volume, on the same host or another one
description:
  - Opens a file that M(token_backup) has made in the controller's memory, and sends what is in it to a helper's stdin.
    The vault password stays on the controller.
  - The volume's lock is held while it is decided. A newer access token of the same grant stays. What would go back
    behind a rotation, or over the token of another account, client or grant, is refused unless O(force=true).
  - The document's lineage comes with it. Its generation ranks above that of the backup and above all that the volume
    has seen, and refresh tokens that it has superseded stay superseded.
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
    description: Opens the backup, and has the helper's own dry run say what would happen.
  diff_mode:
    support: full
    description: Fingerprints, scopes, account and expiry of the document before and after; never a secret.
  idempotent:
    support: full
    description: >-
      The same backup twice changes nothing, as long as the refresh token has not been rotated away meanwhile; that is a
      Conflict.
  async:
    support: none
    description: The file is opened in the controller's memory.
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
  folder:
    description: Folder on the controller with the backups, as in M(token_backup).
    type: str
    required: true
  backup_file:
    description: >-
      The backup, by a path on the controller or by its name in O(folder). Empty takes the newest one of this host,
      volume and document.
    type: str
    default: ""
  force:
    description: Restore it although that is a Conflict; RV(error) says which.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Restore the newest backup
  token_restore:
    volume: token_data
    image: "{{ images_keeper }}"
    folder: ~/token-backups

- name: Restore the token of a host that is gone
  token_restore:
    volume: token_data
    image: "{{ images_keeper }}"
    folder: ~/token-backups
    backup_file: old-host+token_data+token.json+20261126T074300Z.vault
"""

RETURN = r"""
reason:
  description: >-
    C(Created) where there was no sound document, C(Replaced) where there was, C(Unchanged) where it was the very one,
    C(NewerThere) where a newer access token of the same grant stays.
  returned: success
  type: str
  sample: Created
backup:
  description: Which backup it was.
  returned: success
  type: dict
  sample:
    path: /home/ann/token-backups/demo+token_data+token.json+20261126T074300Z.vault
    taken_at: "2026-11-26T07:43:00Z"
    generation: 7
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
    reason: RotatedAway
    message: >-
      volume token_data: the backup of generation 7 holds the refresh token 1c1e0b7a2f0a4c55, which was rotated away or
      replaced since: /app/tokens/token.json is at generation 9
    remedy: restore a newer backup, or leave the document that is there
"""
