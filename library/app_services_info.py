#!/usr/bin/python
"""Looks at an application that somebody else has written; the documentation below is what ansible-doc shows."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: app_services_info
short_description: Find out which services of an application get the token, where, and as whom
description:
  - Reads a Compose project by C(docker compose config), with all its files, profiles and variables, or services that
    are still to be written, and returns what it takes to give them the token.
  - The services' users are resolved to numbers from the images; nothing of an image is run.
  - The environment of the services, which may hold secrets, stays in the module's memory. Compose's own messages
    are not passed on, because they quote values; a missing variable or file and the line of an error are told.
  - Warns of what the application would not see any more, and of services that would go on with the old file.
version_added: "0.3.0"
author:
  - Token Keeper contributors
requirements:
  - Python 3.9 or newer on the Docker host
  - the C(docker) command, 20.10 or newer, with Compose v2, on the Docker host
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
  project_src:
    description: Folder of a Compose project on the Docker host. Either this or O(definition).
    type: path
  definition:
    description: A Compose file's content that need not be on the Docker host, such as C({services}).
    type: dict
  project_name:
    description: Name of the project; without it the one that Compose gives.
    type: str
    default: ""
  files:
    description: >-
      The project's files, in order, relative to O(project_src). Without it those that Compose would take:
      C(COMPOSE_FILE) in C(.env), else C(compose.yaml) and the like with its override.
    type: list
    elements: str
    default: []
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
  override:
    description: A file that is left out, because it was generated from this module's answer.
    type: path
    default: ""
  consumers:
    description: Services that get the token. Without it those that mount its folder or are told its path by a variable.
    type: list
    elements: str
    default: []
  others:
    description: More services whose users are to be told.
    type: list
    elements: str
    default: []
  token_path:
    description: Full path of the token document in their containers. Without it, it is found.
    type: str
    default: ""
  file:
    description: Name of the token document where its path is to be found.
    type: str
    default: token.json
  variables:
    description: Variables that the operator sets to O(token_path); services that have one of them get the token too.
    type: list
    elements: str
    default: []
  users:
    description: Users, by service, in place of those of the project and its images.
    type: dict
    default: {}
  uid:
    description: Owner of the token, if that is settled already.
    type: int
  gid:
    description: Group of the token, if that is settled already.
    type: int
  docker_cli:
    description: The C(docker) command, or its path, on the Docker host.
    type: str
    default: docker
seealso:
  - module: token_volume
"""

EXAMPLES = r"""
- name: Look at somebody's project
  app_services_info:
    project_src: /srv/assistant
  register: app

- name: Look at services of one's own
  app_services_info:
    project_name: assistant
    definition:
      services:
        web: {image: "registry.example.com/assistant:1.4.2", environment: {TOKEN_PATH: /app/tokens/token.json}}
  register: app
"""

RETURN = r"""
project:
  description: The project's name.
  returned: success
  type: str
  sample: assistant
folder:
  description: What its relative paths are relative to.
  returned: success
  type: str
  sample: /srv/assistant
real_folder:
  description: RV(folder) with no symbolic link in it.
  returned: success
  type: str
  sample: /data/srv/assistant
files:
  description: Its files, in order, by their full paths.
  returned: success
  type: list
  elements: str
  sample: [/srv/assistant/compose.yml]
all_services:
  description: Names of all services.
  returned: success
  type: list
  elements: str
  sample: [db, web]
jobs:
  description: Services that do a thing and end, and do not get the token.
  returned: success
  type: list
  elements: str
  sample: [migrate]
published:
  description: Addresses and TCP ports of the host, or ranges of them, that services publish; an empty address is any.
  returned: success
  type: dict
  sample: {web: [{address: 127.0.0.1, port: "8081"}]}
services:
  description: >-
    The services that get the token, and O(others); C(uid) is C(null) where the image isn't there to be asked.
  returned: success
  type: dict
  sample:
    web:
      image: "registry.example.com/assistant:1.4.2"
      user: appuser
      uid: 1000
      gid: 1000
      working_dir: /app
      containers: 2
      volumes: []
      tmpfs: []
      networks: [default]
      network_mode: ""
      secrets: false
      builds: false
consumers:
  description: Services that get the token.
  returned: success
  type: list
  elements: str
  sample: [web]
directory:
  description: Folder of the token document in their containers.
  returned: success
  type: str
  sample: /app/tokens
file:
  description: Name of the token document.
  returned: success
  type: str
  sample: token.json
uid:
  description: Owner of the token; C(null) as long as no image has been asked.
  returned: success
  type: int
  sample: 1000
gid:
  description: Group of the token.
  returned: success
  type: int
  sample: 1000
missing:
  description: Services whose images have to be there to be asked for their user, and aren't.
  returned: success
  type: list
  elements: str
  sample: []
problems:
  description: Why the token can't be given to them, a sentence each.
  returned: success
  type: list
  elements: str
  sample: []
error:
  description: What went wrong, for a playbook to branch on. RV(msg) says the same to a person.
  returned: failure
  type: dict
  sample:
    type: ProjectError
    reason: ProjectMissing
    message: "/srv/assistant has no Compose file: no Compose project to put the token into"
    remedy: correct app_stack_compose_dir, the project's folder on the Docker host, and app_stack_compose_files
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper.app_survey import APP_SERVICES_INFO, survey
    from module_utils.token_keeper_helper.engine import Engine
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.process import ModuleRunner
else:
    from ansible.module_utils.token_keeper_helper.app_survey import APP_SERVICES_INFO, survey
    from ansible.module_utils.token_keeper_helper.engine import Engine
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.process import ModuleRunner


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        APP_SERVICES_INFO,
        supports_check_mode=True,
        required_one_of=[("project_src", "definition")],
        mutually_exclusive=[("project_src", "definition")],
    )
    engine = Engine(ModuleRunner(module), module.params["docker_cli"])
    result = concluded(lambda: {"changed": False, **survey(engine, module.params)}, check_mode=False)
    if result.pop("failed", False):
        module.fail_json(**result)
    for sentence in result.pop("warnings"):
        module.warn(sentence)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
