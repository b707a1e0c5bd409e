"""What the operator says about the client that people sign in with."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

Scope = Annotated[str, StringConstraints(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]+$")]
"""RFC 6749, section 3.3."""


class SignInSettings(BaseModel):
    """The client that people sign in with on the reviewers' pages, as it is registered at the issuer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client_id: str = Field(min_length=1, max_length=256)
    client_secret_file: Path | None = None
    """Of a confidential client, read at every use; None is a public client, which PKCE alone protects."""
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")] = "oidc"
    """Part of the redirect URI, `<public_url>/approvals/sign-in/<name>/callback`. Each issuer has its own, so that
    no issuer's answer is taken for another's (RFC 9700, section 4.4.2)."""
    label: str | None = Field(default=None, min_length=1, max_length=60)
    """What people call it; its host where absent."""
    scopes: tuple[Scope, ...] = ("openid",)

    @field_validator("scopes")
    @classmethod
    def _openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("scopes must contain openid: without it the issuer gives no ID token")
        return scopes
