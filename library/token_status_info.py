#!/usr/bin/python
"""Documentation of the action ``token_status_info``; the work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_status_info
short_description: Look at every token of a Docker host, and at the containers that use each
description:
  - Returns of each token what M(token_volume_info) returns of one, in a single call, which is what a look at many
    hosts costs.
  - It does not fail for what it finds. An engine that does not answer, an image or a volume that is not there, a
    document that is none are told in the place of the token that they concern, and the others are looked at.
version_added: "0.2.0"
author:
  - Token Keeper contributors
requirements:
  - Python 3.9 or newer on the Docker host
  - the C(docker) command, 20.10 or newer, on the Docker host
attributes:
  check_mode:
    support: full
    description: It never changes anything.
  diff_mode:
    support: none
    description: It never changes anything.
  idempotent:
    support: full
    description: It never changes anything.
options:
  tokens:
    description: The tokens.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the token is called.
        type: str
        required: true
      volume:
        description: Name of its volume.
        type: str
        required: true
      file:
        description: File name of its document in the volume.
        type: str
        default: token.json
      app:
        description: Whether it is the application's, whose processes O(heartbeat_urls) tell of.
        type: bool
        default: false
  image:
    description: The keeper image, which the role C(images) makes. It is never pulled.
    type: str
    required: true
  uid:
    description: User that the consumers run as.
    type: int
    default: 999
  gid:
    description: Group that the consumers run as.
    type: int
    default: 999
  path:
    description: Where the consumers are expected to mount the volume. Another place is reported, and works.
    type: str
    default: /app/tokens
  expected:
    description: Consumers of the application's token that should run.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: The Compose service.
        type: str
        required: true
      containers:
        description: How many containers of it.
        type: int
        default: 1
      processes:
        description: How many processes in each have to report to one of O(heartbeat_urls).
        type: int
        default: 0
  heartbeat_urls:
    description: As in M(token_volume_info); they tell of the application's token.
    type: list
    elements: str
    default: []
  docker_cli:
    description: The C(docker) command, or its path, on the Docker host.
    type: str
    default: docker
  docker_host:
    description: >-
      Address of the engine. By default the C(docker) command decides, by its context and the environment of the
      task.
    type: str
seealso:
  - module: token_volume_info
"""

EXAMPLES = r"""
- name: Look at both tokens of the host
  token_status_info:
    tokens:
      - {name: calendar, volume: token_data, app: true}
      - {name: reports, volume: token_data, file: reports.json}
    image: "{{ images_keeper }}"
    expected: [{service: api, processes: 1}, {service: celery, containers: 2, processes: 4}]
    heartbeat_urls: [http://127.0.0.1:8080/api/v1/health/consumers, http://127.0.0.1:9401/consumers]
  register: looks
"""

RETURN = r"""
tokens:
  description:
    - Of each token its C(name), C(volume), C(file) and C(app) as they were given, and what M(token_volume_info) returns
      as C(volume_exists), C(status), C(consumers) and C(silent).
    - C(missing) says of which expected services too few containers run.
    - C(error) is C(null), or what kept it from being looked at (C(type), C(reason), C(message), C(remedy)).
  returned: success
  type: list
  elements: dict
  sample:
    - name: calendar
      volume: token_data
      file: token.json
      app: true
      volume_exists: true
      status: {"generation": 8, "healthy": true}
      consumers: []
      silent: []
      missing: ["celery: 1 of 2 containers run with the volume mounted"]
      error: null
"""
