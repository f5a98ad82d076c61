"""What a task asks a person for, and of which provider: checked before anybody is asked.

This runs on the controller, and needs the ``token_keeper`` package there.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from token_keeper.consent import ClientSecrets, Inquiry
from token_keeper.document import TokenDocument
from token_keeper.errors import ConsentError
from token_keeper.provider import Profile

from . import grant, two_runs


@dataclasses.dataclass(frozen=True)
class Request:
    """What a task asks for; see the options of ``oauth_token``.

    Attributes:
        client: who asks.
        scopes: what it asks for.
        inquiry: the question; ``None`` where the provider did not tell its endpoints.
        unsettled: why it did not.
        declared: what is declared of the provider beside the document, by the options of ``push``.
        parameters: the task's parameters.
    """

    client: ClientSecrets
    scopes: tuple[str, ...]
    inquiry: Inquiry | None
    unsettled: ConsentError | None
    declared: Mapping[str, Any]
    parameters: dict[str, Any]

    @classmethod
    def parse(cls, parameters: dict[str, Any], client_secrets: Any, where: str) -> Request:
        """Check everything that can be checked without a person.

        The provider is asked where its endpoints have to be found by its issuer. If it does not answer, that is kept:
        it is no reason to fail as long as nobody has to consent.

        Args:
            parameters: the task's parameters.
            client_secrets: the client's JSON, as text or decoded.
            where: where it came from, for a message.

        Raises:
            ConsentError: client secrets, scopes, provider, endpoints or extra parameters can't be used.
        """
        client = ClientSecrets.parse(client_secrets, where)
        scopes = tuple(scope for scope in parameters["scopes"] if scope)
        if not scopes:
            raise ConsentError(
                "there are no scopes to ask for",
                reason="ScopesInvalid",
                remedy="give a list, such as [https://www.googleapis.com/auth/calendar]",
            )
        if not all(isinstance(answer, str) for answer in _listed(parameters["answer"])):
            raise ConsentError(
                "the answer is neither an address nor a list of addresses",
                reason="AnswerMalformed",
                remedy="give the address that the browser ended at, in quotes; of several, a list",
            )
        parameters = {**parameters, "provider": decoded(parameters["provider"])}
        declared = _declared(parameters)
        inquiry, unsettled = None, None
        try:
            inquiry = Inquiry.prepare(
                client,
                scopes,
                provider=parameters["provider"],
                issuer=parameters["issuer"],
                auth_uri=parameters["auth_uri"],
                token_uri=parameters["token_uri"],
                document_token_uri=parameters["consumer_token_uri"],
                allow_http=parameters["allow_http"],
                account=parameters["account"],
                extra_params=parameters["extra_params"] or {},
            )
        except ConsentError as error:
            if error.reason != "DiscoveryFailed":
                raise
            unsettled = error
        return cls(client, scopes, inquiry, unsettled, declared, parameters)

    @property
    def stages(self) -> bool:
        """Whether the document is to wait beside the current one."""
        return bool(self.parameters["stage"])

    @property
    def answers(self) -> list[str]:
        """The addresses at which browsers have ended, as far as they are given."""
        return _listed(self.parameters["answer"])

    @property
    def wanted(self) -> grant.Wanted:
        """What the document in the volume has to be."""
        return grant.Wanted(
            self._stand_in.client_fingerprint, self.scopes, self._token_uri, self.parameters["account"] or None
        )

    @property
    def expected(self) -> dict[str, Any]:
        """What is known of the document before there is one."""
        return {
            "state": "sound",
            "client_fingerprint": self._stand_in.client_fingerprint,
            "token_uri": self._token_uri,
            "scopes": list(self.scopes),
            "account": self.parameters["account"] or "",
        }

    @property
    def question(self) -> dict[str, Any]:
        """What ``token-keeper consent begin`` reads.

        The code is redeemed where the consumers are: by the address at which they reach the provider.
        """
        parameters = self.parameters
        fields = {
            "client_secrets": two_runs.written(self.client),
            "scopes": list(self.scopes),
            "provider": parameters["provider"],
            "issuer": parameters["issuer"],
            "auth_uri": parameters["auth_uri"],
            "token_uri": parameters["consumer_token_uri"] or parameters["token_uri"],
            "allow_http": parameters["allow_http"],
            "account": parameters["account"],
            "extra_params": parameters["extra_params"],
            "redirect_port": parameters["redirect_port"],
        }
        return {name: value for name, value in fields.items() if value is not None}

    def settled_inquiry(self) -> Inquiry:
        """Return the question.

        Raises:
            ConsentError: ``DiscoveryFailed``.
        """
        if self.inquiry is None:
            raise self.unsettled or AssertionError
        return self.inquiry

    @property
    def _token_uri(self) -> str | None:
        if self.inquiry is not None:
            return self.inquiry.endpoints.document_token_uri
        return self.parameters["consumer_token_uri"] or self.parameters["token_uri"] or None

    @property
    def _stand_in(self) -> TokenDocument:
        return TokenDocument(
            token=None,
            refresh_token="",
            token_uri=self._token_uri or "",
            client_id=self.client.client_id,
            client_secret=self.client.client_secret,
        )


def decoded(provider: Any) -> str | Mapping[str, Any] | None:
    """Return a provider's profile by its name, or decoded, as a helper can be given it.

    Raises:
        ConsentError: ``ProfileUnknown``, ``ProfileUnreadable`` or ``ProfileInvalid``.
    """
    if not provider:
        return None
    if not isinstance(provider, (str, Mapping)):
        raise ConsentError(
            "the provider is neither the name of a profile nor one",
            reason="ProfileInvalid",
            remedy="give google, generic, the full path of a TOML file, or a profile as a mapping",
        )
    if isinstance(provider, str) and ("/" in provider or provider.endswith(".toml")):
        path = Path(provider).expanduser()
        Profile.load(str(path))
        return tomllib.loads(path.read_text(encoding="utf-8"))
    Profile.load(provider)
    return provider


def _listed(given: Any) -> list[Any]:
    """Return one or several as a list, without those that are empty, as a survey leaves them."""
    return [each for each in (given if isinstance(given, list) else [given]) if each]


def _declared(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a push says of the provider: what the task says, else what the profile does that it names."""
    profile = Profile.load(parameters["provider"]) if parameters["provider"] else None
    declared: dict[str, Any] = {}
    if parameters["rotation"] is not None:
        declared["rotation"] = parameters["rotation"]
    elif profile is not None and profile.rotation != "unknown":
        declared["rotation"] = profile.rotation
    if parameters["reuse_grace"] is not None:
        declared["reuse-grace"] = parameters["reuse_grace"]
    elif profile is not None and profile.reuse_grace is not None:
        declared["reuse-grace"] = profile.reuse_grace
    return declared
