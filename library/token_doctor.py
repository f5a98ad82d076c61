#!/usr/bin/python
"""Finds what is wrong with a token and those who use it; the documentation below is what ansible-doc shows."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_doctor
short_description: Say what is wrong with a token volume and its consumers, and mend what can be mended
description:
  - Examines the token document and its side files, the volume and its file system, the lock and who holds it, and every
    container that mounts the volume or should. Each finding has a severity, the evidence and a remedy.
  - What is inside the volume is looked at by a helper without capabilities or network. What only the engine or the
    Docker host knows is looked at with the C(docker) command there.
  - It never asks the provider. Without O(repair) it changes nothing.
  - Findings do not make the module fail. RV(errors) tells how many are errors.
version_added: "0.3.0"
author:
  - Token Keeper contributors
requirements:
  - Python 3.9 or newer on the Docker host
  - the C(docker) command, 20.10 or newer, on the Docker host
attributes:
  check_mode:
    support: full
    description: Nothing is changed. With O(repair=true), RV(actions) says what would be mended.
  diff_mode:
    support: none
    description: RV(actions) says what was done, or would be.
  idempotent:
    support: full
    description: Where nothing is left to mend, nothing is done.
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
  mode:
    description: Mode that the volume's directory should have.
    type: str
    default: "0700"
  path:
    description: Where the consumers are expected to mount the volume.
    type: str
    default: /app/tokens
  project:
    description: Compose project of the application. Its containers are examined, whether or not they mount the volume.
    type: str
  compose_file:
    description: >-
      The project's Compose file on the Docker host, by which O(repair) makes containers that are missing, or that mount
      something else. Without it that is left to a person.
    type: path
  expected:
    description: Services that should be there.
    type: list
    elements: dict
    default: []
    suboptions:
      service:
        description: Name of the service.
        type: str
        required: true
      containers:
        description: Number of its containers.
        type: int
        default: 1
      processes:
        description: Number of processes in each container that should report to one of O(heartbeat_urls).
        type: int
        default: 0
  heartbeat_urls:
    description: Addresses, as for M(token_volume_info), by which the generation that each process sees is known.
    type: list
    elements: str
    default: []
  repair:
    description:
      - Mend what can be mended, one finding at a time, and examine everything again after each.
      - Nothing is done that could lose a reply of the provider or a document, that asks the provider, or that a person
        has to consent to.
      - A container that was restarted in vain counts as a change, and not as mended.
    type: bool
    default: false
  timeout:
    description: Seconds that a container which was started again may take until it is well.
    type: float
    default: 90
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
  - module: token_volume_info
"""

EXAMPLES = r"""
- name: Say what is wrong
  token_doctor:
    volume: token_data
    image: "{{ images_keeper }}"
    project: assistant
  register: examined
  failed_when: examined['errors'] | default(0) > 0

- name: Mend what can be mended
  token_doctor:
    volume: token_data
    image: "{{ images_keeper }}"
    project: assistant
    compose_file: /opt/token-keeper/assistant/compose.yml
    expected: [{service: api}, {service: celery, containers: 2}]
    repair: true
"""

RETURN = r"""
findings:
  description: >-
    What was found, the worst first, after a repair what is left. C(level) is error, warning, info or ok; C(reason) is a
    word to branch on; C(mend) is what a repair does about it, empty where that is a person's.
  returned: success
  type: list
  elements: dict
  sample:
    - check: Document
      level: error
      reason: Empty
      message: /app/tokens/token.json is empty
      remedy: "`token-keeper verify` puts the last sound document back; if there is none, run site.yml"
      mend: the last sound document is put back from the history, under the lock
      where: ""
consumers:
  description: The containers that have the volume, running or not.
  returned: success
  type: list
  elements: dict
  sample:
    - container: assistant-api-1
      service: api
      state: running (healthy)
      mount: /app/tokens
      access: rw
      user: "999:999"
      generation: 8
      level: process
      remark: ""
actions:
  description: What was done about which finding. C(outcome) is mended, could not (C(why_not)) or, in check mode, would.
  returned: success
  type: list
  elements: dict
  sample:
    - check: Containers
      reason: ContainerDown
      where: assistant-keeper-1
      message: assistant-keeper-1 does not run (exited, exit code 137)
      mend: assistant-keeper-1 is started
      outcome: mended
      why_not: ""
generation:
  description: Generation of the document, C(null) where it can't be told.
  returned: success
  type: int
  sample: 8
errors:
  description: How many findings are errors, after a repair how many are left.
  returned: success
  type: int
  sample: 0
warned:
  description: How many findings are warnings.
  returned: success
  type: int
  sample: 1
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

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments, repairing
    from module_utils.token_keeper_helper.diagnosis import Doctor
    from module_utils.token_keeper_helper.doctor_arguments import TOKEN_DOCTOR
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.process import ModuleRunner
else:
    from ansible.module_utils.token_keeper_helper import arguments, repairing
    from ansible.module_utils.token_keeper_helper.diagnosis import Doctor
    from ansible.module_utils.token_keeper_helper.doctor_arguments import TOKEN_DOCTOR
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.process import ModuleRunner


def examined(module: AnsibleModule) -> dict[str, Any]:
    """Examine, repair where that is asked for, and return the task's result."""
    doctor = Doctor(arguments.helper_of(module.params, ModuleRunner(module)), module.params)
    return repairing.doctored(doctor, repair=module.params["repair"], check_mode=module.check_mode)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(TOKEN_DOCTOR, supports_check_mode=True)
    result = concluded(lambda: examined(module), check_mode=False)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
