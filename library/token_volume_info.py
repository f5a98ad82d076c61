#!/usr/bin/python
"""Documentation of the action ``token_volume_info``; the work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_volume_info
short_description: Look at a token volume, and at the containers that use it
description:
  - Returns the status of the token document in a Docker volume, as the C(token-keeper status) command tells it in a
    helper without capabilities or network.
  - With O(consumers=true) it also finds every running container that mounts the volume, and says what is proven of
    each.
  - There are three levels of proof. V(mount) means that the container mounts this volume; V(container) that a
    process in it reads the document as it is now; V(process) that every process has reported its generation to one of
    O(heartbeat_urls).
  - With O(expect_generation) it waits until every consumer has that generation or a later one, at most O(timeout)
    seconds.
  - What else a run has to know before it renews the token comes with the same look, asked while the helper is in the
    volume. A page that is silent, slow or talks nonsense does not make the module fail. It is told.
version_added: "0.1.0"
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
  consumers:
    description: Find the running containers that mount the volume, and judge each.
    type: bool
    default: false
  path:
    description: Where the consumers are expected to mount the volume. Another place is reported, and works.
    type: str
    default: /app/tokens
  expect_generation:
    description: >-
      Wait until each consumer has this generation or a later one. Without it they are judged once, by the volume's.
    type: int
  expect_processes:
    description:
      - How many processes have to report from each container, by the Compose service or the name of the container.
      - Services that are not named need not report at all, but if one container of a service does, all of them have
        to.
    type: dict
  heartbeat_urls:
    description:
      - >-
        Addresses, as the Docker host reaches them, that answer
        C({"consumers": [{"container": HOSTNAME, "pid": PID, "generation": N}]}); the keeper has such a page too,
        C(/consumers).
      - If one does not answer, consumers that have not reported elsewhere do not count as converged. RV(silent) names
        it.
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds to wait for O(expect_generation).
    type: float
    default: 30
  project:
    description: >-
      Also tell which service, image and configuration each running container of this Compose project has
      (RV(project_containers)).
    type: str
  ready_url:
    description: >-
      Also ask this address, as the Docker host reaches it, whether the application is ready (RV(ready)): it answers
      2xx if so, and may list C({"checks": [{"ok": false, "message": TEXT}]}).
    type: str
  counter_url:
    description:
      - >-
        Also ask this address, as the Docker host reaches it, how often the provider has exchanged a refresh token
        (RV(counter)): C({"exchanges": {"refresh_token": N}}), as the sandbox answers. No proxy is used.
      - With O(expect_generation) it is asked when the waiting is over.
    type: str
  engine:
    description: Also tell which engine has answered, and by which context of the C(docker) command (RV(engine)).
    type: bool
    default: false
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
  - module: token_volume
  - module: token_status_info
  - module: oauth_token
"""

EXAMPLES = r"""
- name: Look at the token
  token_volume_info:
    volume: token_data
    image: "{{ images_keeper }}"
  register: token

- name: Wait until all processes of all consumers have the new token
  token_volume_info:
    volume: token_data
    image: "{{ images_keeper }}"
    consumers: true
    expect_generation: 8
    expect_processes: {api: 1, celery: 4}
    heartbeat_urls: [http://127.0.0.1:8080/api/v1/health/consumers, http://127.0.0.1:9401/consumers]
    timeout: 20
  register: token
  failed_when: token['lagging'] | length > 0
"""

RETURN = r"""
volume_exists:
  description: Whether there is such a volume.
  returned: success
  type: bool
  sample: true
status:
  description: Status of the volume and its document, C(null) if there is no volume.
  returned: success
  type: dict
  sample:
    path: /app/tokens/token.json
    volume: {"uid": 999, "gid": 999, "mode": "0700", "writable": true, "filesystem": ext4}
    document:
      state: sound
      fingerprint: ae2d8a571e03ac9c
      content_fingerprint: 30c81c46a35ce411
      access_token_fingerprint: 9eb76fac45af8e51
      refresh_token_fingerprint: 6bc1bee22e409f96
      client_fingerprint: e93d7e117393172a
      token_uri: https://oauth2.googleapis.com/token
      scopes: ["https://www.googleapis.com/auth/calendar"]
      account: ""
      expiry: "2026-11-23T12:00:00Z"
      expires_in: 3412
      uid: 999
      gid: 999
      mode: "0600"
    generation: 8
    grant: g2
    exchanges: 41
    failures: 0
    cooldown_until: null
    conditions:
      - type: Ready
        status: "True"
        reason: Refreshed
        message: the access token was renewed
        last_transition_time: "2026-11-23T11:00:00Z"
    deadlines:
      - {"reason": TestingEnds, "at": "2026-11-30T11:00:00Z", "days_left": 7, "remedy": publish the consent screen}
    last_event: {"time": "2026-11-23T11:00:00Z", "event": Refreshed, "service": keeper, "container": 5f3b, "pid": 1}
    last_refresh: {"time": "2026-11-23T11:00:00Z", "event": Refreshed, "service": keeper, "container": 5f3b, "pid": 1}
    healthy: true
consumers:
  description: The running containers that mount the volume; helpers are left out.
  returned: if O(consumers=true)
  type: list
  elements: dict
  sample:
    - container: assistant-celery-1
      service: celery
      mount: /app/tokens
      level: process
      generation: 8
      converged: true
      processes: [{"pid": 12, "generation": 8}, {"pid": 13, "generation": 8}]
      reason: ""
      hostname: 5f3b5ce3c1a0
lagging:
  description: Names of the containers that have not converged, C([]) if all have.
  returned: if O(consumers=true)
  type: list
  elements: str
  sample: []
silent:
  description: The O(heartbeat_urls) that gave no heartbeats, each with the reason.
  returned: if O(consumers=true)
  type: list
  elements: dict
  sample:
    - url: http://127.0.0.1:9401/consumers
      why: "[Errno 111] Connection refused"
project_containers:
  description: The running containers of the Compose project; what a label does not tell is empty.
  returned: if O(project) is given
  type: list
  elements: dict
  sample:
    - container: assistant-celery-1
      service: celery
      image: "sha256:5f3b5ce3c1a0"
      config_hash: 9a6d0c0d2f1b
ready:
  description: >-
    What the application says: the HTTP status (-1 without an answer), the messages of the checks that failed, and why
    there is no answer or none of use.
  returned: if O(ready_url) is given
  type: dict
  sample: {"status": 503, "failed": ["Redis does not answer"], "why": "it answered 503"}
counter:
  description: What the provider has counted, C(null) if it did not tell, and why not.
  returned: if O(counter_url) is given
  type: dict
  sample: {"count": 41, "why": ""}
engine:
  description: Version of the engine, and the context by which the C(docker) command has found it.
  returned: if O(engine=true)
  type: dict
  sample: {"version": 26.1.5, "context": default}
error:
  description: What went wrong, for a playbook to branch on. RV(msg) says the same to a person.
  returned: failure
  type: dict
  sample:
    type: EngineError
    reason: EngineUnreachable
    message: no Docker Engine answers at unix:///var/run/docker.sock
    remedy: start it (systemctl start docker), install it with the role docker_host, or correct docker_host
"""
