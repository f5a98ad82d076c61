#!/usr/bin/python
"""Moves a project's token from a file into the volume, or back; the documentation below is what ansible-doc shows."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_migration
short_description: Move the services of a Compose project from a token in a file of the host to the volume, or back
description:
  - Takes the document into the volume under the store's rules, or writes it into the file, and replaces the containers
    that get the token, service by service. Old and new ones run side by side only while nobody renews the token, that
    is as long as its access token lives for O(life); what one side makes of the document all the same is carried to
    the other. Where it ends sooner, all of them are stopped at once, for some seconds.
  - A service that can be there twice gets its new containers before the old ones are stopped. Where they don't get well
    they are removed, those that have moved already are brought back, and the old ones have never been stopped.
  - A run that is killed leaves containers of both kinds; the next one, in either direction, goes on from there.
  - The document goes between file and helper on the Docker host itself; it is in no argument and no result.
version_added: "0.3.0"
author:
  - Token Keeper contributors
requirements:
  - Python 3.9 or newer on the Docker host
  - the C(docker) command, 20.10 or newer, with Compose v2, on the Docker host
attributes:
  check_mode:
    support: full
    description: The plan, and what the store would do with the document. Nothing is stopped, started or written.
  diff_mode:
    support: full
    description: Where each service has its token; the document itself by fingerprints.
  idempotent:
    support: full
    description: Containers that have the place that is gone to are left alone.
options:
  to:
    description: Where the token goes to.
    type: str
    required: true
    choices: [volume, file]
  source:
    description: The file on the Docker host, by its full path.
    type: str
    required: true
  project_src:
    description: Folder of the Compose project on the Docker host.
    type: path
    required: true
  project_name:
    description: Its name.
    type: str
    required: true
  files:
    description: Its own files, in order, by their full paths.
    type: list
    elements: str
    required: true
  override:
    description: The file that puts the volume in the place of the mount. Whoever was made with it has the volume.
    type: path
    required: true
  profiles:
    description: Profiles that are switched on.
    type: list
    elements: str
    default: []
  env_files:
    description: Files that variables are taken from in place of C(.env).
    type: list
    elements: str
    default: []
  services:
    description: Services that get the token.
    type: list
    elements: str
    required: true
  directory:
    description: Folder of the token document in their containers.
    type: str
    required: true
  keepers:
    description: Containers that renew the token in the volume; for O(to=file) they are stopped first.
    type: list
    elements: str
    default: []
  how:
    description: >-
      V(start_first) or V(stop_first), by service. V(start_first) can't be had where a host port, a fixed name, address
      or network forbids a second container.
    type: dict
    default: {}
  pull:
    description: What Compose does about images that aren't on the host.
    type: str
    choices: [always, missing, never, policy]
    default: policy
  timeout:
    description: Seconds that the new containers of a service may take until they are well.
    type: float
    default: 120
  settle:
    description: Seconds from then until the old ones are stopped, for whoever looks their names up anew.
    type: float
    default: 5
  life:
    description: Seconds that the access token has to live for the services to be replaced one by one.
    type: float
    default: 900
  wait:
    description: Seconds to wait for somebody to renew it, where it ends sooner than that.
    type: float
    default: 0
  volume:
    description: Name of the token volume.
    type: str
    required: true
  file:
    description: File name of the token document in it.
    type: str
    default: token.json
  image:
    description: The keeper image, which the role C(images) makes. It is never pulled.
    type: str
    required: true
  uid:
    description: User that the services run as.
    type: int
    default: 999
  gid:
    description: Group that they run as.
    type: int
    default: 999
  docker_cli:
    description: The C(docker) command, or its path, on the Docker host.
    type: str
    default: docker
  docker_host:
    description: >-
      Address of the engine. By default the C(docker) command decides, by its context and the environment of the task.
    type: str
seealso:
  - module: app_services_info
  - module: token_volume
"""

EXAMPLES = r"""
- name: Move the token into the volume
  token_migration: &migration
    to: volume
    source: /srv/assistant/token.json
    project_src: /srv/assistant
    project_name: assistant
    files: [/srv/assistant/compose.yml]
    override: /opt/token-keeper/assistant/token-keeper.override.yml
    services: [web, worker]
    directory: /app/tokens
    volume: assistant_token_data
    image: "{{ images_keeper }}"
    uid: 1000
    gid: 1000

- name: And back
  token_migration:
    <<: *migration
    to: file
    keepers: [assistant-keeper-1]
"""

RETURN = r"""
plan:
  description: The services that are replaced, in order, and how; as text for a person.
  returned: success
  type: list
  elements: str
  sample: ["worker: 2 containers, start first", "web: 1 container, stop first (host port 8080)"]
way:
  description: Whether they are replaced one by one or all at once.
  returned: success
  type: str
  sample: service by service
why:
  description: Why so.
  returned: success
  type: str
  sample: "the access token lives for 3411 s, and nobody renews it that early (app_stack_migrate_life: 900 s)"
services:
  description: What was done, with the seconds that it took. A service that was stopped first was away for that long.
  returned: success
  type: list
  elements: dict
  sample: [{"service": worker, "how": start first, "seconds": 9.1}]
taken:
  description: How often the file had something newer for the volume.
  returned: success
  type: int
  sample: 1
given:
  description: How often the volume had something newer for the file.
  returned: success
  type: int
  sample: 0
error:
  description: What went wrong, for a playbook to branch on. RV(msg) says the same to a person.
  returned: failure
  type: dict
  sample:
    type: MigrationError
    reason: NotWell
    message: "the token was not moved, and web uses the file /srv/token.json as before: assistant-web-3 is unhealthy"
    remedy: correct it, and run this again
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.migrating import TOKEN_MIGRATION, migrated
    from module_utils.token_keeper_helper.process import ModuleRunner
else:
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.migrating import TOKEN_MIGRATION, migrated
    from ansible.module_utils.token_keeper_helper.process import ModuleRunner


def main() -> None:
    """Run the module."""
    module = AnsibleModule(TOKEN_MIGRATION, supports_check_mode=True)
    run = ModuleRunner(module)
    result = concluded(lambda: migrated(module.params, run, check_mode=module.check_mode), check_mode=module.check_mode)
    for warning in result.pop("warnings", []):
        module.warn(warning)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
