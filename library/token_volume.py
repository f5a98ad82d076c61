#!/usr/bin/python
"""Brings a token volume into a state; the documentation below is what ansible-doc shows."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_volume
short_description: Initialise, fill, renew, clear or remove a token volume
description:
  - A token volume is a Docker named volume that holds an OAuth 2.0 token document, which every container of an
    application shares.
  - What touches the document is the C(token-keeper) command of the keeper image. This module runs it in a helper, a
    container that lives for a fraction of a second, with a read-only root, no capabilities, no network unless it has to
    exchange, and no log.
  - A document comes from O(document). An action plugin of the same name sends it to the helper on stdin, through the
    connection of the task. It is never an argument of a module, and never in a result, a log or a file.
  - For O(state=refreshed) that plugin runs the helper itself as well, through the connection. It is two commands,
    for which no module has to be sent.
  - Results and diffs show fingerprints, the first 16 hexadecimal digits of a SHA-256, where a secret would stand.
version_added: "0.1.0"
author:
  - Token Keeper contributors
requirements:
  - Python 3.9 or newer on the Docker host
  - the C(docker) command, 20.10 or newer, on the Docker host
  - the token_keeper package on the controller, for O(document) only
attributes:
  check_mode:
    support: full
    description: >-
      Nothing is changed. What would change is found out by helpers that look, or by the helper's own dry run.
      For O(state=refreshed) the new token is not known in advance, so RV(after) leaves its fingerprints empty.
      If the image is not there yet, nothing can be compared; the task says so in a warning and reports no change.
  diff_mode:
    support: full
    description: Owner and mode of the volume, and fingerprints, scopes and expiry of the document; never a secret.
  idempotent:
    support: partial
    description: >-
      Every state is, except O(state=refreshed) with O(force=true), which renews the token each time.
      A document that is pushed with O(expires_in) is compared by the helper and not beforehand.
  async:
    support: none
  connection:
    support: full
    description: Whatever passes stdin to a command, with or without pipelining; become included.
options:
  volume:
    description: Name of the volume. It has to exist; M(community.docker.docker_volume) creates it.
    type: str
    required: true
  state:
    description:
      - V(present) gives the volume its owner and mode if it hasn't them, and puts O(document) into it if there is
        one. It refuses a volume that never held a token but holds other things (RV(error) has the reason
        V(ForeignContent)), and one of another owner that running containers use (V(VolumeInUse)), unless O(force) is
        set.
      - V(refreshed) renews the access token at the provider, in the volume and under its lock. A token that is not
        near
        its end is left alone, unless O(force) is set.
      - V(cleared) takes the document away and leaves a tombstone, so that consumers know it was on purpose.
      - V(absent) removes the volume with everything in it, unless a container has it, running or not.
    type: str
    choices: [present, refreshed, cleared, absent]
    default: present
  image:
    description: >-
      The keeper image, which the role C(images) makes. Required for every state but V(absent). It is never pulled.
    type: str
  file:
    description: File name of the token document in the volume.
    type: str
    default: token.json
  uid:
    description: User that the consumers run as; owner of the volume and the document.
    type: int
    default: 999
  gid:
    description: Group that the consumers run as.
    type: int
    default: 999
  mode:
    description: >-
      Mode of the volume's directory, in quotes. It lets the owner in, and nobody outside the group. The files in it are
      0600 whatever this says, so a group that is let in sees their names and sizes, and can't read the token.
    type: str
    default: "0700"
  document:
    description:
      - The token document, in the format of google-auth's C(Credentials.to_json()). For O(state=present) only.
      - A variable from an ansible-vault file, or a lookup; written into a playbook in the clear it would be no
        secret.
      - Without O(expect) or O(force) it fills a volume that has no sound document, brings a longer-lived access
        token of
        the same grant, or replaces a grant that the provider has declared dead. If the volume holds a newer access
        token of the same grant, that one stays and the task reports no change (RV(reason) is V(NewerThere)), so that a
        play with the same O(document) can run again after the token was renewed. Anything else is a V(Conflict).
    type: dict
  seen:
    description: >-
      For O(state=present) without O(document), what M(token_volume_info) has just returned as C(status) for this volume
      and file. Where by it nothing is to be done, the host is not asked again.
    type: dict
  expect:
    description: >-
      Replace exactly this generation (V(0) means that there is no document yet), and fail if another is there.
    type: int
  force:
    description:
      - With O(state=present), give the volume its owner and mode although it holds other things than token documents,
        all of which change their owner with it, or although running containers of another user use it.
      - With O(document), also replace whatever is there, a newer document too.
      - With O(state=refreshed), renew a token that is still fresh, and do not wait for a back-off.
    type: bool
    default: false
  expires_in:
    description: >-
      Seconds of life of the access token in O(document), if another machine's clock wrote its expiry. The expiry
      is then told by the clock of the Docker host.
    type: float
  rotation:
    description: Whether the provider issues a new refresh token with each exchange. Kept beside the document.
    type: str
    choices: ["yes", "no", "unknown"]
  reuse_grace:
    description: Seconds for which the provider accepts a refresh token that was spent. Kept beside the document.
    type: float
  network:
    description: >-
      Docker network by which the provider is reached, for O(state=refreshed). Other states have no network.
    type: str
    default: bridge
  environment:
    description:
      - Variables for the helper that asks the provider, such as C(HTTPS_PROXY) and C(NO_PROXY), for
        O(state=refreshed). Values are texts; numbers need quotes.
      - They are on a command line and in Ansible's output, so they are not for secrets. An address with anything
        before an C(@) is refused.
      - Not the task keyword of this name, which is for the C(docker) command itself.
    type: dict
    default: {}
  ca_bundle:
    description: >-
      Full path of a PEM file on the Docker host with the certificates that the provider or the proxy is trusted by,
      all of them, for O(state=refreshed). The helper's user has to be able to read it. The helper mounts it read-only.
    type: str
  reason:
    description: For O(state=cleared), why, as one CamelCase word; consumers report it.
    type: str
    default: Cleared
  docker_cli:
    description: The C(docker) command, or its path, on the Docker host.
    type: str
    default: docker
  docker_host:
    description: >-
      Address of the engine, such as V(unix:///run/user/1000/docker.sock) or V(ssh://user@host). By default the
      C(docker) command decides, by its context and the environment of the task.
    type: str
seealso:
  - module: token_volume_info
  - module: oauth_token
  - module: community.docker.docker_volume
notes:
  - Task keyword C(environment) reaches the C(docker) command, but is shown by C(-vvvv); put no secret there.
"""

EXAMPLES = r"""
- name: Give the volume its owner and mode, before any consumer mounts it
  token_volume:
    volume: token_data
    image: "{{ images_keeper }}"

- name: Put a token from an ansible-vault file into it
  token_volume:
    volume: token_data
    image: "{{ images_keeper }}"
    document: "{{ vault_calendar_token }}"

- name: Renew the access token where it lives
  token_volume:
    volume: token_data
    image: "{{ images_keeper }}"
    state: refreshed
    network: assistant_egress
    environment: {HTTPS_PROXY: "http://proxy.example.com:3128"}
    force: true

- name: Take the token away, for good reason
  token_volume:
    volume: token_data
    image: "{{ images_keeper }}"
    state: cleared
    reason: AccountClosed

- name: Remove the volume
  token_volume:
    volume: token_data
    state: absent
"""

RETURN = r"""
reason:
  description: >-
    What happened, as one word. C(Created), C(Replaced), C(Unchanged) or C(NewerThere) for O(document); C(Initialised)
    or C(Unchanged) without it; C(Refreshed) or C(StillFresh); C(Cleared), C(Removed) or C(Unchanged).
    In check mode also C(ImageMissing).
  returned: success
  type: str
  sample: Replaced
generation:
  description: >-
    Generation of the document afterwards, C(0) where there never was one, C(null) if it is not known. In check mode the
    current one for O(state=refreshed), the next one for O(document).
  returned: success
  type: int
  sample: 7
before:
  description: Facts of the document before, C(null) if there was none.
  returned: success
  type: dict
  sample:
    state: sound
    fingerprint: 2b7e151628aed2a6
    access_token_fingerprint: abf7158809cf4f3c
    refresh_token_fingerprint: 6bc1bee22e409f96
    client_fingerprint: e93d7e117393172a
    token_uri: https://oauth2.googleapis.com/token
    scopes: ["https://www.googleapis.com/auth/calendar"]
    account: ""
    expiry: "2026-11-23T12:00:00Z"
    expires_in: 3412
after:
  description: Facts of the document afterwards, or in check mode those that are known in advance.
  returned: success
  type: dict
  sample:
    state: sound
    fingerprint: ae2d8a571e03ac9c
    access_token_fingerprint: 9eb76fac45af8e51
    refresh_token_fingerprint: 6bc1bee22e409f96
volume:
  description: Owner and mode of the volume afterwards.
  returned: for O(state=present)
  type: dict
  sample: {"uid": 999, "gid": 999, "mode": "0700"}
exchanged:
  description: Whether this task asked the provider for a token.
  returned: for O(state=refreshed)
  type: bool
  sample: true
exchanges:
  description: Exchanges that this volume has seen in all.
  returned: for O(state=refreshed)
  type: int
  sample: 41
error:
  description: What went wrong, for a playbook to branch on. RV(msg) says the same to a person.
  returned: failure
  type: dict
  sample:
    type: Conflict
    reason: DifferentGrant
    message: >-
      volume token_data: /app/tokens/token.json holds a sound document of another grant or client (generation 7)
    remedy: pass --expect 7 to replace exactly that one, or --force to replace any
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments, volume
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.process import ModuleRunner
else:
    from ansible.module_utils.token_keeper_helper import arguments, volume
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.process import ModuleRunner


def bring_about(module: AnsibleModule) -> dict[str, Any]:
    """Bring the volume into the state that the parameters name, and return the task's result."""
    parameters, check_mode = module.params, module.check_mode
    run = ModuleRunner(module)
    arguments.check_names(parameters)
    if parameters["document"] is not None:
        raise arguments.usage(
            "the document did not pass through the action plugin token_volume, which keeps it out of module arguments",
            "set action_plugins = plugins/action in ansible.cfg, or run the play from the folder that has it",
        )
    state = parameters["state"]
    if state == "absent":
        outcome = volume.absent(arguments.engine_of(parameters, run), parameters["volume"], check_mode=check_mode)
        return outcome.as_result()
    helper = arguments.helper_of(parameters, run)
    if state == "refreshed":
        outcome = volume.refreshed(
            helper, arguments.outward_of(parameters), force=parameters["force"], check_mode=check_mode
        )
    elif state == "cleared":
        outcome = volume.cleared(helper, parameters["reason"], check_mode=check_mode)
    else:
        outcome = volume.present(helper, parameters["mode"], force=parameters["force"], check_mode=check_mode)
    return outcome.as_result()


def main() -> None:
    """Run the module."""
    module = AnsibleModule(arguments.TOKEN_VOLUME, supports_check_mode=True, **arguments.TOKEN_VOLUME_CONSTRAINTS)
    result = concluded(lambda: bring_about(module), check_mode=module.check_mode)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
