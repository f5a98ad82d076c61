#!/usr/bin/python
"""Documentation of the action ``oauth_token``; the work is done by the action plugin of the same name."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: oauth_token
short_description: Obtain an OAuth 2.0 token by consent, and put it into a token volume
description:
  - Makes sure that a Docker volume holds a token document of this client, for these scopes, with a living grant.
  - If it does, nothing happens; the provider is not asked. If it does not, what earlier writers left is settled first,
    which may bring back a document that fits. Only then a person consents in a browser (authorization code with PKCE
    and a loopback redirect), and what comes of the answer goes into the volume at once.
  - The volume is looked at through the connection of the task, as M(token_volume) does. The document travels from the
    controller's memory to a helper's stdin. It is never an argument of a module, and never in a result, log or file.
  - If the consent fails, or brings no refresh token, fewer scopes than O(scopes) or another account than O(account),
    the volume stays as it was.
  - A document that is there already is never renewed by this action; the consumers do that where it lives.
version_added: "0.1.0"
author:
  - Token Keeper contributors
requirements:
  - the token_keeper package with Jinja2 on the controller
  - the C(docker) command, 20.10 or newer, on the Docker host
attributes:
  action:
    support: full
    description: All of it runs on the controller, save for the helpers.
  check_mode:
    support: full
    description: >-
      Says whether a person would be asked to consent, and why; asks nobody. If the image, or the client secrets of a
      provider that the play itself brings up, are not there yet, nothing can be compared; a warning says so. A provider
      whose endpoints have to be found by O(issuer) is asked for them.
  diff_mode:
    support: full
    description: Fingerprints, scopes, account and expiry of the document before and after; never a secret.
  idempotent:
    support: partial
    description: It is, except with O(reconsent=true) and O(stage=true), which ask for consent each time.
  async:
    support: none
    description: A person has to see the address that the consent begins at.
  connection:
    support: full
    description: >-
      Whatever passes stdin to a command. Pipelining is not needed, because no module is sent to the host.
options:
  volume:
    description: Name of the token volume. It has to exist and be initialised; M(token_volume) does so.
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
  consent:
    description:
      - V(loopback) shows an address and opens it in a browser, if there is one, and waits for the answer on this
        machine.
        On a controller without a desktop, forward the port of the redirect as the message says.
      - V(paste) shows an address to open on any machine, and asks at the terminal for the one that the browser ended
        at, which is not echoed. The message has the command that forwards the port, with which the answer comes by
        itself.
      - V(two_step) needs nobody there. The task fails with the reason C(ConsentPending) and the address to open, and
        a second run is given the O(answer). Question, PKCE verifier and exchange are the helper's, in and beside the
        volume.
      - V(none) asks nobody. If a consent is needed, the task fails and says so.
      - V(auto) is V(loopback) where O(browser) or E(BROWSER) names a browser, or Ansible runs at a terminal of a
        desktop and not over SSH; else V(paste) at a terminal, and V(two_step) without one.
    type: str
    choices: [auto, loopback, paste, two_step, none]
    default: auto
  seen:
    description: >-
      What M(token_volume_info) has just returned as C(status) for this volume and file. Where by it the token is the
      one asked for, the host is not asked again.
    type: dict
  answer:
    description:
      - The address that the browser ended at, for the second run of V(consent=two_step); or a list of them, of which
        the one with the question's state is taken. It makes V(consent=auto) and V(consent=paste) a second run, too.
      - The code in it works once, and only together with the verifier, which is in the volume, and the client's secret.
      - It is not used where the volume holds what is asked for.
    type: raw
  stage:
    description: >-
      Always ask for consent, and keep the document beside the current one (C(token-keeper stage), reason C(reconsent)),
      in the place of one that is staged there. Consumers see nothing of it until it is promoted.
    type: bool
    default: false
  provider:
    description:
      - The provider's profile (C(google), C(generic), the full path of a TOML file on the controller, or a mapping of
        its form). By default it is told by the endpoints.
      - What a profile that is named says of refresh tokens is declared as O(rotation) and O(reuse_grace) do, which go
        before.
    type: raw
  client_secrets:
    description:
      - The OAuth client, as the provider's console offers it for download (Google's C(client_secret.json)), or its
        fields
        C(client_id) and C(client_secret), and for other providers C(auth_uri) and C(token_uri).
      - A variable from an ansible-vault file, or a lookup. Templating leaves no trace of it at C(-vvvv) or with
        C(ANSIBLE_DEBUG); C(set_fact), C(register) and C(--extra-vars) do.
      - Exactly one of O(client_secrets) and O(client_secrets_file) is needed.
    type: dict
  client_secrets_file:
    description:
      - The same from a file on the controller, plain or encrypted with ansible-vault. It is decrypted in memory.
      - A relative path is looked for as C(copy) does.
    type: str
  scopes:
    description:
      - Scopes that the token has to cover. All of them have to be granted.
      - A document that covers more is left alone.
    type: list
    elements: str
    required: true
  auth_uri:
    description: >-
      Authorization endpoint, as the person's browser reaches it. By default the client's own, else Google's.
    type: str
  token_uri:
    description: Token endpoint, as the controller reaches it. By default the client's own, else Google's.
    type: str
  consumer_token_uri:
    description: Token endpoint that is written into the document, if the consumers reach it by another address.
    type: str
  issuer:
    description: >-
      The provider's issuer identifier (RFC 8414). An answer that names another one (RFC 9207) is refused. Where
      neither options nor client name the endpoints, they are found by it. By default the client's own, else Google's
      for Google; for others nothing is compared.
    type: str
  extra_params:
    description:
      - Further parameters of the authorization request, by name, as the provider's documentation asks for them, such
        as C(audience) or C(token_access_type). Values are texts, numbers or booleans.
      - They may replace C(access_type=offline) and C(prompt=consent), which are sent by default; an empty value leaves
        such a parameter out, for a provider that refuses it.
      - What the consent sets itself is refused, such as C(client_id), C(scope), C(state), C(redirect_uri) and
        C(code_challenge).
      - They are in the address that is shown, so they are not for secrets.
    type: dict
    default: {}
  redirect_port:
    description: Port of the redirect on 127.0.0.1 of the controller; V(0) takes a free one.
    type: int
    default: 0
  timeout:
    description: Seconds to wait for a person's answer.
    type: float
    default: 300
  browser:
    description: >-
      Browser to open, by name or as a command with V(%s) for the address; a last word V(&) leaves it running. By
      default the environment variable E(BROWSER) of the controller decides, then the desktop.
    type: str
  reconsent:
    description: Ask for consent even if the volume holds what is asked for.
    type: bool
    default: false
  account:
    description: >-
      Account that has to consent, by its mail address or the provider's identifier. It is suggested to the provider,
      and noted in the document. Where the provider tells who consented (id token, userinfo, tokeninfo) another one is
      refused (C(AccountMismatch)); where it does not, a warning says so. A document that notes another account is
      replaced.
    type: str
  allow_http:
    description: Allow endpoints without TLS on other machines than the controller. For sandboxes and tests.
    type: bool
    default: false
  rotation:
    description: >-
      Whether the provider issues a new refresh token with each exchange. Kept beside the document, and changed there
      if a document stays that was put there with something else. V(unknown) takes nothing back that is known by then.
    type: str
    choices: ["yes", "no", "unknown"]
  reuse_grace:
    description: >-
      Seconds for which the provider accepts a refresh token that was spent. Kept beside the document, and changed there
      likewise.
    type: float
  network:
    description: Docker network by which the helper reaches the provider, for V(consent=two_step).
    type: str
    default: bridge
  environment:
    description:
      - Variables for that helper, such as C(HTTPS_PROXY). Not for secrets; they are on a command line. Names and
        passwords in a proxy's address are refused.
    type: dict
    default: {}
  ca_bundle:
    description: File on the Docker host with the certificates that that helper trusts; by default those of the image.
    type: str
  docker_cli:
    description: The C(docker) command, or its path, on the Docker host.
    type: str
    default: docker
  docker_host:
    description: >-
      Address of the engine. By default the C(docker) command decides, by its context and the task's environment.
    type: str
seealso:
  - module: token_volume
  - module: token_volume_info
notes:
  - The client's secret goes to the token endpoint in the request's body (C(client_secret_post)). A provider that takes
    nothing but HTTP Basic authentication of the client is not supported, nor is a public client without a secret.
  - A change that somebody makes to the volume while a person consents is not overwritten; the task fails with
    V(Conflict). A renewal of the grant that is about to be replaced is no such change.
"""

EXAMPLES = r"""
- name: Obtain a token for Google Calendar
  oauth_token:
    volume: token_data
    image: "{{ images_keeper }}"
    client_secrets_file: client_secret.vault.json
    scopes:
      - https://www.googleapis.com/auth/calendar

- name: Obtain a token from another provider
  oauth_token:
    volume: token_data
    image: "{{ images_keeper }}"
    client_secrets: "{{ vault_oauth_client }}"
    auth_uri: https://login.example.com/oauth2/authorize
    token_uri: https://login.example.com/oauth2/token
    scopes: [calendar.write]
    issuer: https://login.example.com
    extra_params:
      audience: https://calendar.example.com
    rotation: "yes"
    reuse_grace: 30

- name: Obtain a token from a provider that is found by its issuer, of one account
  oauth_token:
    volume: token_data
    image: "{{ images_keeper }}"
    client_secrets: "{{ vault_oauth_client }}"
    provider: generic
    issuer: https://login.example.com
    rotation: "yes"
    scopes: [calendar.write]
    account: assistant@example.com

- name: Without a terminal, in the second run of two
  oauth_token:
    volume: token_data
    image: "{{ images_keeper }}"
    client_secrets: "{{ vault_oauth_client }}"
    scopes: [calendar.write]
    consent: two_step
    answer: "{{ oauth_token_answer | default(omit, true) }}"
    network: calendar-assistant_egress

- name: In a pipeline, make sure that nobody has to consent
  oauth_token:
    volume: token_data
    image: "{{ images_keeper }}"
    client_secrets: "{{ vault_oauth_client }}"
    scopes: [calendar.write]
    consent: none
"""

RETURN = r"""
reason:
  description: >-
    C(Unchanged), C(PolicyChanged) if only O(rotation) or O(reuse_grace) were another, C(Mended) if an earlier sound
    document was put back in place of what a foreign hand or a writer that died had left, or why consent was needed,
    as one word (C(NoSoundDocument), C(ClientChanged), C(ScopesMissing),
    C(EndpointChanged), C(AccountChanged), C(ReauthRequired), C(ReconsentAsked); in check mode also C(VolumeMissing),
    C(ImageMissing) and C(ClientSecretsMissing)); C(Staged) if the document waits beside the current one.
  returned: success
  type: str
  sample: NoSoundDocument
policy:
  description: What is declared of the provider afterwards.
  returned: when O(rotation) or O(reuse_grace) changed for a document that stays
  type: dict
  sample: {"rotation": "yes", "reuse_grace": 30.0}
generation:
  description: Generation of the document afterwards; in check mode the current one, C(null) if it is not known.
  returned: success
  type: int
  sample: 1
before:
  description: Facts of the document before, C(null) if there was none.
  returned: success
  type: dict
  sample: null
after:
  description: Facts of the document afterwards; in check mode those that are known in advance.
  returned: success
  type: dict
  sample:
    state: sound
    fingerprint: ae2d8a571e03ac9c
    access_token_fingerprint: 9eb76fac45af8e51
    refresh_token_fingerprint: 6bc1bee22e409f96
    client_fingerprint: e93d7e117393172a
    token_uri: https://oauth2.googleapis.com/token
    scopes: ["https://www.googleapis.com/auth/calendar"]
    account: ""
    expiry: "2026-11-23T12:00:00Z"
    expires_in: 3599
staged:
  description: >-
    What is staged beside the current document, whose facts are in RV(before); RV(after) has those of what waits.
  returned: when O(stage=true)
  type: dict
  sample: {"state": "sound", "reason": "reconsent", "since": "2026-11-23T12:00:00Z", "grant": "9a1f0c54d7b3e826"}
consent:
  description: >-
    What a person has to open before the second run, and until when; RV(consent.redirect_uri) is what the address begins
    with at which the browser ends.
  returned: failure with the reason C(ConsentPending)
  type: dict
  sample:
    url: https://accounts.google.com/o/oauth2/v2/auth?response_type=code&...
    redirect_uri: http://127.0.0.1:50123/
    expires_at: "2026-11-23T12:10:00Z"
    scopes: ["https://www.googleapis.com/auth/calendar"]
error:
  description: What went wrong, for a playbook to branch on. RV(msg) says the same to a person.
  returned: failure
  type: dict
  sample:
    type: ConsentError
    reason: ConsentNeeded
    message: "volume token_data: there is no token in /app/tokens/token.json, and consent is none"
    remedy: run the play where a person can consent, with consent=auto, or push a token with token_volume
"""

from typing import TYPE_CHECKING

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from module_utils.token_keeper_helper import arguments
else:
    from ansible.module_utils.token_keeper_helper import arguments


def main() -> None:
    """Say that the action plugin, which does the work, was not found."""
    module = AnsibleModule(arguments.OAUTH_TOKEN, supports_check_mode=True, **arguments.OAUTH_TOKEN_CONSTRAINTS)
    failure = arguments.usage(
        "the action plugin oauth_token was not found; consent runs on the controller, not in a module",
        "set action_plugins = plugins/action in ansible.cfg, or run the play from the folder that has it",
    )
    module.fail_json(**failure.as_result())


if __name__ == "__main__":
    main()
