"""Which ways to sign in the settings give, and how the page offers them."""

from pathlib import Path
from typing import Any, cast

import pytest
from identity_fakes import FakeIssuer

from callgate.cedar.published import PublishedPolicies
from callgate.delivery import now
from callgate.errors import ConfigurationError
from callgate.settings import Settings
from services.approval.frame import Pages
from services.approval.oidc import Http
from services.approval.sign_in import Ways, clients_of


def issuer(name: str, **sign_in: Any) -> dict[str, Any]:
    client = {"sign_in": {"client_id": "pages", "name": name, **sign_in}} if sign_in.pop("client", True) else {}
    return {"issuer": f"https://{name}.example", "audience": "callgate", "subject_prefix": f"{name}:", **client}


def settings(*issuers: dict[str, Any], public_url: str | None = "https://cg.example/") -> Settings:
    return Settings(identity={"issuers": issuers}, public_url=public_url)


def page_of(given: Settings, next: str = "/approvals/in-force") -> str:
    ways = Ways(clients_of(given), given, cast(Http, FakeIssuer()))
    shared = {"ways": ways.shown, "paste": ways.paste, "session_hours": "8"}
    pages = Pages(cast(PublishedPolicies, None), now, shared)
    return bytes(pages.page("sign_in.html", next=next, alert=None).body).decode()


def test_one_issuer_is_one_button_under_the_public_address() -> None:
    page = page_of(settings(issuer("acme", label="Acme <SSO>")))
    assert 'href="https://cg.example/approvals/sign-in/acme?next=/approvals/in-force">Sign in</a>' in page
    assert "You sign in at Acme &lt;SSO&gt;" in page
    assert "Access token" not in page


def test_several_issuers_are_a_choice_and_a_token_is_pasted_only_where_one_has_no_client() -> None:
    page = page_of(settings(issuer("acme"), issuer("partners", label="Partners")))
    assert ">Sign in with acme.example</a>" in page
    assert ">Sign in with Partners</a>" in page
    assert "Access token" not in page
    page = page_of(settings(issuer("acme"), issuer("machines", client=False)))
    assert "<details><summary>With an access token</summary>" in page
    page = page_of(settings(issuer("machines", client=False)))
    assert "Access token" in page
    assert "<details>" not in page


def test_what_would_let_nobody_sign_in_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="public_url"):
        clients_of(settings(issuer("acme"), public_url=None))
    assert clients_of(settings(issuer("machines", client=False), public_url=None)) == []
    secret = tmp_path / "secret"
    with pytest.raises(ConfigurationError, match="client_secret_file"):
        clients_of(settings(issuer("acme", client_secret_file=secret)))
    secret.write_text("s3cret\n")
    assert len(clients_of(settings(issuer("acme", client_secret_file=secret)))) == 1
