#!/usr/bin/python
"""Takes one step of a rotation; the documentation below is what ansible-doc shows."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: token_rotation
short_description: Take one step of the rotation of a grant or a client, or revoke a grant
description:
  - A rotation replaces the grant, or the client's secret, of the token document in a Docker volume while consumers go
    on. It is made in steps, each of which is one verb of the C(token-keeper) command in a helper, may be killed, and
    may be called again.
  - The role C(rotation) puts the steps together. How far a rotation has come is in RV(rotation_record).
  - A document or a client's secret is sent to the helper on stdin by an action plugin of the same name. It is never an
    argument of a module, and never in a result, a log or a file.
version_added: "0.2.0"
author:
  - Token Keeper contributors
requirements:
  - Python 3.9 or newer on the Docker host
  - the C(docker) command, 20.10 or newer, on the Docker host
attributes:
  check_mode:
    support: full
    description: >-
      Nothing is changed, here or at the provider; the helper's own dry run says what would happen. The provider is not
      asked either, so V(check) says nothing, and V(rollback) can't tell whether the grant lives.
  diff_mode:
    support: full
    description: Fingerprints, scopes and expiry of the document; never a secret.
  idempotent:
    support: full
    description: A step that has been taken has nothing to do, except V(check), which asks again.
  async:
    support: none
  connection:
    support: full
    description: Whatever passes stdin to a command, with or without pipelining; become included.
options:
  step:
    description:
      - V(stage) keeps O(document) beside the current one; consumers see nothing of it.
      - V(check) shows its access token to O(check_url), and spends nothing.
      - V(promote) makes it the document; the grant before stays in the history.
      - V(watch) waits until each consumer uses the newest generation, and sees O(ready_url) stay ready meanwhile, for
        O(ready_seconds) at least. If all consumers are there and follow then, too, it notes in the rotation's record
        that they have converged.
      - V(retire) forgets the grant or the secret before, and ends that grant at O(revocation_url) where O(revocation)
        is V(token).
      - V(unstage) forgets what is staged.
      - V(rollback) goes back to the earlier O(grant), by one exchange.
      - V(reclient) gives the document its client's new secret, by one exchange, which proves it. V(restore_client) goes
        back to the secret before, by another one.
      - V(revoke) ends the grant at O(revocation_url), takes the document away and leaves a tombstone.
    type: str
    required: true
    choices: [stage, check, promote, watch, retire, unstage, rollback, reclient, restore_client, revoke]
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
  network:
    description: Docker network by which the provider is reached. Steps that don't ask it have no network.
    type: str
    default: bridge
  environment:
    description: >-
      Variables for the helper that asks the provider, such as C(HTTPS_PROXY); not for secrets, as in M(token_volume).
    type: dict
    default: {}
  ca_bundle:
    description: >-
      Full path of a PEM file on the Docker host with the certificates that the provider or the proxy is trusted by.
    type: str
  document:
    description: >-
      For O(step=stage), a token document in the format of google-auth's C(Credentials.to_json()), such as
      C(token-keeper login) writes one.
    type: dict
  expires_in:
    description: Seconds of life of the access token in O(document), if another machine's clock wrote its expiry.
    type: float
  client_secrets:
    description: For O(step=reclient), the client with its new secret, as the provider's console offers it for download.
    type: dict
  client_secrets_file:
    description: The same as a file on the controller, plain or encrypted with ansible-vault; decrypted in memory only.
    type: str
  check_url:
    description: >-
      What only a good access token can GET, such as the calendar API or userinfo; by its address in the helper.
    type: str
  tokeninfo:
    description: Whether the token is POSTed to O(check_url) as a form, as Google's tokeninfo takes it.
    type: bool
    default: false
  revocation_url:
    description: The provider's endpoint of RFC 7009, by its address in the helper.
    type: str
  revocation:
    description: >-
      What a revocation ends there, for O(step=retire) and O(step=unstage). V(off) asks for none; V(token) means that
      it ends the one grant, and asks for it. V(grant), all that the account has allowed the client, is refused, as
      the new grant would end as well.
    type: str
    choices: ["off", "token", "grant"]
    default: "off"
  grant:
    description: For O(step=rollback), name of the grant, such as C(grant_before) of the rotation's record.
    type: str
  local:
    description: For O(step=revoke), that the provider has no endpoint for it, and the grant lives on there.
    type: bool
    default: false
  unchecked:
    description: For O(step=promote), that it may go live although no server was shown its access token.
    type: bool
    default: false
  force:
    description: >-
      Replace what is staged, promote although another grant is current by now, retire although somebody may use what
      was before, or do not wait for a back-off.
    type: bool
    default: false
  path:
    description: Where the consumers are expected to mount the volume. Another place is reported, and works.
    type: str
    default: /app/tokens
  expect_generation:
    description: For O(step=watch), the generation that each consumer has to have, or a later one.
    type: int
  expect_processes:
    description: >-
      For O(step=watch), how many processes have to report from each container, by service, as in M(token_volume_info).
    type: dict
  expect_containers:
    description: For O(step=watch), how many containers of a service have to be there.
    type: dict
  heartbeat_urls:
    description: For O(step=watch), where processes report, as in M(token_volume_info).
    type: list
    elements: str
    default: []
  timeout:
    description: Seconds that consumers may take to follow.
    type: float
    default: 30
  ready_url:
    description: >-
      For O(step=watch), a page that answers 2xx while the application is ready, as the Docker host reaches it. Two
      other answers in a row end the watch.
    type: str
  ready_seconds:
    description: Seconds for which it is asked at least.
    type: float
    default: 3
  docker_cli:
    description: The C(docker) command, or its path, on the Docker host.
    type: str
    default: docker
  docker_host:
    description: >-
      Address of the engine. By default the C(docker) command decides, by its context and the environment of the task.
    type: str
seealso:
  - module: token_volume
  - module: token_volume_info
  - module: oauth_token
"""

EXAMPLES = r"""
- name: Show the staged token to the calendar
  token_rotation:
    volume: token_data
    image: "{{ images_keeper }}"
    step: check
    check_url: https://www.googleapis.com/calendar/v3/users/me/calendarList
    network: assistant_egress

- name: Let it go live
  token_rotation:
    volume: token_data
    image: "{{ images_keeper }}"
    step: promote

- name: Give the document its client's new secret
  token_rotation:
    volume: token_data
    image: "{{ images_keeper }}"
    step: reclient
    client_secrets_file: "{{ inventory_dir }}/client_secret.vault.json"
    network: assistant_egress

- name: End the grant, for good
  token_rotation:
    volume: token_data
    image: "{{ images_keeper }}"
    step: revoke
    revocation_url: https://oauth2.googleapis.com/revoke
    network: assistant_egress
"""

RETURN = r"""
reason:
  description: >-
    What the step did, as one word: C(Staged), C(Restaged), C(Checked), C(Promoted), C(Converged), C(Retired),
    C(Unstaged), C(RolledBack), C(ClientChanged), C(ClientRolledBack), C(Revoked); or why there was nothing to do:
    C(Unchanged), C(Current), C(AlreadyPromoted), C(AlreadyConverged), C(AlreadyRetired), C(NothingStaged). In check
    mode also C(NotAsked), C(Watched) and C(ImageMissing).
  returned: success
  type: str
  sample: Promoted
generation:
  description: Generation of the document afterwards.
  returned: success
  type: int
  sample: 9
before:
  description: Facts of the document before, C(null) if there was none.
  returned: success
  type: dict
  sample: {"state": sound, "refresh_token_fingerprint": 6bc1bee22e409f96}
after:
  description: Facts of the document that the step is about.
  returned: success
  type: dict
  sample: {"state": sound, "refresh_token_fingerprint": ae2d8a571e03ac9c}
staged:
  description: What is staged now, in fingerprints; C(null) if nothing is.
  returned: success
  type: dict
  sample: {"state": sound, "reason": reconsent, "by": ansible, "grant": 5b1d0c7e9f3a2b44, "checked_at": null}
rotation_record:
  description: The last rotation, and how far it has come.
  returned: success
  type: dict
  sample: {"id": 0f1e2d3c4b5a6978, "mode": reconsent, "phase": promoted, "grant_before": g1, "grant_after": 5b1d0c7e}
at_provider:
  description: Whether this task has ended the grant at the provider, in check mode whether it would.
  returned: for O(step=revoke)
  type: bool
  sample: true
error:
  description: What went wrong, for a playbook to branch on. RV(msg) says the same to a person.
  returned: failure
  type: dict
  sample:
    type: Conflict
    reason: Unchecked
    message: "volume token_data: the document that is staged for /app/tokens/token.json is not known to be good"
    remedy: check it with `token-keeper check-staged --url`, or promote it with --unchecked
"""

from typing import TYPE_CHECKING, Any

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments, rotation
    from module_utils.token_keeper_helper.frontend import concluded
    from module_utils.token_keeper_helper.process import ModuleRunner
    from module_utils.token_keeper_helper.rotation_arguments import TOKEN_ROTATION, TOKEN_ROTATION_CONSTRAINTS
else:
    from ansible.module_utils.token_keeper_helper import arguments, rotation
    from ansible.module_utils.token_keeper_helper.frontend import concluded
    from ansible.module_utils.token_keeper_helper.process import ModuleRunner
    from ansible.module_utils.token_keeper_helper.rotation_arguments import TOKEN_ROTATION, TOKEN_ROTATION_CONSTRAINTS


def step(module: AnsibleModule) -> dict[str, Any]:
    """Take the step, and return the task's result."""
    helper = arguments.helper_of(module.params, ModuleRunner(module))
    return rotation.take(helper, module.params, check_mode=module.check_mode)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(TOKEN_ROTATION, supports_check_mode=True, **TOKEN_ROTATION_CONSTRAINTS)
    result = concluded(lambda: step(module), check_mode=module.check_mode)
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
