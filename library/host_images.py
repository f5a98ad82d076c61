#!/usr/bin/python
"""Documentation of the action ``host_images``; the work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: host_images
short_description: Have images on a Docker host that the controller builds once for all hosts
description:
  - The host is looked at first. One that has the images is given nothing, and no registry is asked.
  - With O(registry) the controller pushes to it what it lacks, and builds what the controller itself lacks. The host
    pulls by the digest of the manifest that the controller has pushed, or found there under the image's name, and gets
    the image's usual name for it. What a host runs is that manifest, even if somebody moves the tag in the registry in
    between. Only layers that the host lacks are fetched.
  - What the controller's engine has pushed once it knows by its digest from then on. Only where that engine has never
    pushed the image is the registry's tag believed.
  - Without O(registry) the controller saves what the host lacks as one archive, which lies in C(/var/tmp) on the host
    until it is loaded.
  - Before a host is changed it is known that the images are for its architecture, that there is room for them, and that
    the registry lets it in.
  - The controller and the hosts reach their engines by the C(docker) command (C(docker system dial-stdio)), so that its
    context and certificates hold. The engine talks to the registry, with its own trust (C(certs.d),
    C(insecure-registries)).
version_added: "0.2.0"
author:
  - Token Keeper contributors
requirements:
  - Python 3.9 or newer on the Docker host
  - the C(docker) command, 20.10 or newer, on the Docker host and the controller
attributes:
  action:
    support: full
    description: The controller's part runs there; a program is sent to the host on the standard input of its Python.
  check_mode:
    support: full
    description: Looks at host, controller and registry, and says what would be brought.
  diff_mode:
    support: none
    description: Images have names that say what they are made from.
  idempotent:
    support: full
    description: A host that has an image of the name is given nothing.
  async:
    support: none
    description: Part of it runs on the controller.
  connection:
    support: full
    description: Whatever passes stdin to a command. Pipelining is not needed, because no module is sent to the host.
options:
  images:
    description: What the host is to have, full references by the image's name in role C(images).
    type: dict
    required: true
  variables:
    description: Variables of role C(images) that the names depend on, for building on the controller.
    type: dict
    required: true
  root:
    description: The checkout that the images are built from, on the controller.
    type: path
    required: true
  state:
    description: >-
      V(possible) only looks whether it could be done, for a host that has no engine yet, or not yet as it will be. Then
      the host's Python asks the registry, with the trust that the engine will have.
    type: str
    choices: [present, possible]
    default: present
  registry:
    description: Address of the registry and a path in it, without a scheme. Empty means an archive.
    type: str
    default: ""
  username:
    description: >-
      User by whom the host pulls. Empty means what its own user has (C(docker login), credential helpers). The
      controller always takes what its own user has.
    type: str
    default: ""
  password:
    description: >-
      That user's password. It goes to the host's Python on stdin and from there to its engine, is no argument and is
      in no file.
    type: str
    default: ""
  daemon_options:
    description: What the engine's configuration will have in addition, for O(state=possible).
    type: dict
    default: {}
  disk_mib:
    description: Free space that the images ask for where the engine keeps its data, in MiB.
    type: int
    default: 2048
  docker_cli:
    description: The docker command on the Docker host, or its path.
    type: str
    default: docker
"""

EXAMPLES = r"""
- name: Have the images on the host
  host_images:
    images: {keeper: "token-keeper-keeper:3f0c4a9d21b7"}
    variables: {images_prefix: token-keeper}
    root: /srv/token-keeper
    registry: registry.example.com/token-keeper
    username: puller
    password: "{{ vault_registry_password }}"
"""

RETURN = r"""
reason:
  description: >-
    C(Present) where the host has them all, C(Pulled), C(Loaded), or C(WouldBring) where it was only looked.
  returned: success
  type: str
  sample: Pulled
images:
  description: >-
    What the host was given: the name, where it is from, and how many layers were fetched (C(null) for an archive).
  returned: success
  type: list
  elements: dict
  sample:
    - name: token-keeper-keeper:3f0c4a9d21b7
      source: registry.example.com/token-keeper/token-keeper-keeper@sha256:9f86d0…
      layers_fetched: 2
pushed:
  description: What the controller has pushed for it.
  returned: success
  type: list
  elements: str
  sample: []
bytes:
  description: Size of the archive.
  returned: if the host was given one
  type: int
  sample: 418381824
would:
  description: What would be done, for a person.
  returned: if it was only looked
  type: list
  elements: str
  sample: ["token-keeper-keeper:3f0c4a9d21b7: would be pulled from registry.example.com/token-keeper"]
error:
  description: What went wrong, for a program; C(msg) says the same to a person.
  returned: failure
  type: dict
  sample:
    type: RegistryError
    reason: Untrusted
    message: "assistant-1: the registry registry.example.com shows a certificate that is not trusted: x509: …"
    remedy: put its authority's certificate into /etc/docker/certs.d/registry.example.com/ca.crt there
"""
