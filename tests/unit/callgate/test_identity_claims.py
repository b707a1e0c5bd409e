"""What a token's claims become: groups out of any claim, whose tokens count at all; CI's and clusters' tokens."""

from typing import Any

import pytest
from identity_fakes import EC_KEY, NOW, RSA_KEY, Clock, FakeIssuer, claims, ec_jwk, refusal, rsa_jwk, settings, token
from pydantic import ValidationError

from callgate.identity.authenticator import Authenticator
from callgate.identity.claims import GROUPS_LIMIT, claim_at
from callgate.identity.errors import Refusal
from contracts.identity import Principal

GITHUB: dict[str, Any] = {
    "jti": "example-id",
    "sub": "repo:octo-org/octo-repo:environment:prod",
    "environment": "prod",
    "ref": "refs/heads/main",
    "repository": "octo-org/octo-repo",
    "repository_owner": "octo-org",
    "actor": "octocat",
    "event_name": "workflow_dispatch",
    "ref_type": "branch",
    "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
    "nbf": int(NOW) - 300,
    "exp": int(NOW) + 300,
    "iat": int(NOW) - 10,
}
"""The claims of a GitHub Actions ID token, as GitHub documents them; issuer and audience are the test's."""
OF_GITHUB = {
    "subject_prefix": "github:",
    "groups_prefix": "github:",
    "required_claims": {"repository_owner": ("octo-org",), "ref": ("refs/heads/main",)},
    "groups_from": (
        {"claim": "repository", "prefix": "repo:"},
        {"claim": "environment", "prefix": "env:"},
        {"claim": "job_workflow_ref", "prefix": "workflow:"},
    ),
}
KUBERNETES: dict[str, Any] = {
    "aud": ["callgate"],
    "exp": int(NOW) + 3600,
    "iat": int(NOW) - 5,
    "nbf": int(NOW) - 5,
    "jti": "8f2a2b1e-3f4c-4c9c-9d57-3f0e0c3f6f0b",
    "kubernetes.io": {
        "namespace": "agents",
        "node": {"name": "n1", "uid": "u1"},
        "pod": {"name": "support-7d9f", "uid": "u2"},
        "serviceaccount": {"name": "support-bot", "uid": "u3"},
    },
    "sub": "system:serviceaccount:agents:support-bot",
}
"""The claims of a projected service-account token (Kubernetes, bound to a pod)."""
OF_KUBERNETES = {
    "subject_prefix": "k8s:",
    "groups_prefix": "k8s:",
    "required_claims": {"kubernetes.io.namespace": ("agents", "agents-staging")},
    "groups_from": (
        {"claim": "kubernetes.io.namespace", "prefix": "namespace:"},
        {"claim": "kubernetes.io.serviceaccount.name", "prefix": "serviceaccount:"},
    ),
}


def authenticator(**more: Any) -> Authenticator:
    issuer = FakeIssuer(ec_jwk(EC_KEY, "k1"), rsa_jwk(RSA_KEY, "r1", alg="RS256"))
    return Authenticator([settings(**more)], clock=Clock(), http=issuer)


async def who(sent: str, **more: Any) -> Principal:
    return await authenticator(**more).authenticate(f"Bearer {sent}")


async def refused(sent: str, **more: Any) -> Refusal:
    return await refusal(authenticator(**more), f"Bearer {sent}")


def github(**more: Any) -> str:
    return token(claims(**{**GITHUB, **more}), key=RSA_KEY, kid="r1", algorithm="RS256", x5t="thumb")


async def test_a_github_actions_token_names_repository_environment_and_workflow() -> None:
    principal = await who(github(), **OF_GITHUB)
    assert principal.id == "github:repo:octo-org/octo-repo:environment:prod"
    assert principal.groups == (
        "github:repo:octo-org/octo-repo",
        "github:env:prod",
        "github:workflow:octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
    )
    assert principal.token_id == "example-id"


@pytest.mark.parametrize(
    "of_another",
    [
        {"repository_owner": "evil-org", "repository": "evil-org/octo-repo"},
        {"ref": "refs/heads/feature"},
        {"repository_owner": ["evil-org"]},
        {"repository_owner": "octo-org "},
        {"repository_owner": {"octo-org": "octo-org"}},
    ],
)
async def test_anybody_elses_workflow_is_refused(of_another: dict[str, Any]) -> None:
    assert await refused(github(**of_another), **OF_GITHUB) is Refusal.CLAIM_REFUSED


async def test_a_required_claim_must_be_there() -> None:
    assert await refused(github(repository_owner=None), **OF_GITHUB) is Refusal.MISSING_CLAIM


async def test_a_service_account_token_names_namespace_and_account() -> None:
    principal = await who(
        token(claims(**KUBERNETES), key=RSA_KEY, kid="r1", algorithm="RS256", typ=None), **OF_KUBERNETES
    )
    assert principal.id == "k8s:system:serviceaccount:agents:support-bot"
    assert principal.groups == ("k8s:namespace:agents", "k8s:serviceaccount:support-bot")


async def test_a_service_account_of_another_namespace_is_refused() -> None:
    other = {**KUBERNETES, "kubernetes.io": {**KUBERNETES["kubernetes.io"], "namespace": "default"}}
    assert await refused(token(claims(**other)), **OF_KUBERNETES) is Refusal.CLAIM_REFUSED


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a", 1),
        ("a.b", 2),
        ("c.d.e", 3),
        ("https://x.example/roles", ["r"]),
        ("k.io.n", "ns"),
        ("c.d", {"e": 3}),
        ("c.x", None),
        ("a.b.c", None),
        ("z", None),
    ],
)
def test_a_path_finds_the_longest_name_that_fits(path: str, found: object) -> None:
    document = {"a": 1, "a.b": 2, "c": {"d": {"e": 3}}, "https://x.example/roles": ["r"], "k.io": {"n": "ns"}}
    assert claim_at(document, path) == found


async def test_groups_come_from_several_claims_with_their_prefixes_each_once() -> None:
    mapping = (
        {"claim": "scope", "prefix": "scope:", "split": True},
        {"claim": "realm_access.roles"},
        {"claim": "absent"},
    )
    more = {"groups": ["sre"], "scope": "read  write", "realm_access": {"roles": ["sre", "admin"]}}
    principal = await who(token(claims(**more)), groups_from=mapping, groups_prefix="corp:")
    assert principal.groups == ("corp:sre", "corp:scope:read", "corp:scope:write", "corp:admin")


@pytest.mark.parametrize("value", [7, True, {"a": 1}, ["a", 1], "", " a", "a\u200b", ["a"] * (GROUPS_LIMIT + 1)])
async def test_what_is_no_name_becomes_no_group(value: object) -> None:
    assert await refused(token(claims(role=value)), groups_from=({"claim": "role"},)) is Refusal.INVALID_CLAIM


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"azp": "agent-app"}, None),
        ({"client_id": "agent-app"}, None),
        ({"azp": "other-app"}, Refusal.WRONG_PARTY),
        ({"azp": "other-app", "client_id": "agent-app"}, Refusal.WRONG_PARTY),
        ({"azp": ["agent-app"]}, Refusal.WRONG_PARTY),
        ({}, Refusal.MISSING_CLAIM),
    ],
)
async def test_the_client_a_token_was_issued_to_must_be_accepted(more: dict[str, Any], code: Refusal | None) -> None:
    sent = token(claims(**more))
    if code is None:
        assert (await who(sent, authorized_parties=("agent-app",))).id == "alice"
    else:
        assert await refused(sent, authorized_parties=("agent-app",)) is code


async def test_an_issuer_can_be_held_to_access_tokens() -> None:
    only = {"token_types": ("at+jwt",)}
    assert (await who(token(typ="application/at+jwt"), **only)).id == "alice"
    for typ in ("JWT", None):
        assert await refused(token(typ=typ), **only) is Refusal.MALFORMED_TOKEN


async def test_a_required_truth_is_not_met_by_a_one() -> None:
    required = {"required_claims": {"email_verified": (True,)}}
    assert (await who(token(claims(email_verified=True)), **required)).id == "alice"
    for value in (1, "true", False, [1]):
        assert await refused(token(claims(email_verified=value)), **required) is Refusal.CLAIM_REFUSED


async def test_metadata_of_rfc_8414_is_found_where_openid_has_none() -> None:
    issuer = FakeIssuer(ec_jwk(EC_KEY, "k1"))
    with_path = "https://id.example/tenant"
    metadata = f'{{"issuer": "{with_path}", "jwks_uri": "https://id.example/keys"}}'.encode()
    issuer.documents["https://id.example/.well-known/oauth-authorization-server/tenant"] = metadata
    found = Authenticator([settings(issuer=with_path, jwks_url=None)], clock=Clock(), http=issuer)
    assert (await found.authenticate(f"Bearer {token(claims(iss=with_path))}")).issuer == with_path
    assert issuer.requests == [
        "https://id.example/tenant/.well-known/openid-configuration",
        "https://id.example/.well-known/oauth-authorization-server/tenant",
        "https://id.example/keys",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"required_claims": {"owner": ()}},
        {"groups_prefix": "a\u200b"},
        {"groups_from": ({"claim": ""},)},
        {"token_types": ("logout+jwt",)},
        {"token_types": ()},
    ],
)
def test_settings_that_say_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        settings(**wrong)
