"""Where reviewers are told of what waits: the sections `approval.slack` and `approval.webhooks`.

Secrets are files, read whenever they are needed, so that a rotated one counts at once.
"""

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, model_validator

from callgate.identity.settings import is_loopback
from contracts.model import Contract

Channel = Annotated[str, StringConstraints(pattern=r"^[CG][A-Z0-9]{2,30}$")]
"""A channel's id as Slack shows it at the end of "About this channel", e.g. C024BE91L; names change, ids do not."""
SlackUser = Annotated[str, StringConstraints(pattern=r"^[UW][A-Z0-9]{2,30}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]

WebhookEvent = Literal[
    "approval.required",
    "approval.vote_cast",
    "approval.approved",
    "approval.rejected",
    "approval.expired",
    "approval.amended",
    "approval.reminder",
    "approval.escalated",
    "approval.glass_broken",
    "call.cancelled",
    "call.denied",
    "call.failed",
    "call.completed",
    "call.outcome_unknown",
    "call.outcome_settled",
]


class SlackPerson(Contract):
    """Whom a Slack user is here. One of `user` and `email` tells the Slack user."""

    id: str = Field(min_length=1)
    """As tokens of the issuers name them, prefix included."""
    groups: tuple[str, ...] = Field(min_length=1)
    user: SlackUser | None = None
    email: str | None = None
    """The address that Slack has verified for them."""

    @model_validator(mode="after")
    def _found_somehow(self) -> Self:
        if (self.user is None) == (self.email is None):
            raise ValueError("give the Slack user's id as `user`, or the verified address as `email`")
        return self


class SlackSettings(Contract):
    """An app of one Slack workspace; docs/approvals.md says how to set it up."""

    token_file: Path
    """The bot token, xoxb-…"""
    signing_secret_file: Path | None = None
    """For buttons over HTTP: Slack signs its requests to /v1/slack/interactions with it."""
    app_token_file: Path | None = None
    """For buttons over Socket Mode instead, where Slack cannot reach this service: xapp-…"""
    channels: dict[str, Channel] = Field(min_length=1)
    """Group of approvers → where its members are asked. What asks groups that are not here is asked elsewhere."""
    people: tuple[SlackPerson, ...] = ()
    """Who may vote there; nobody else can."""
    api_url: str = "https://slack.com/api/"
    """GovSlack has https://slack-gov.com/api/."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.signing_secret_file is None) == (self.app_token_file is None):
            raise ValueError("give signing_secret_file (buttons over HTTP) or app_token_file (Socket Mode)")
        parts = urlsplit(self.api_url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(parts.hostname or "")):
            raise ValueError("api_url must be https: the bot's token goes there")
        for known in ([one.user for one in self.people], [one.email and one.email.lower() for one in self.people]):
            named = [one for one in known if one]
            if len(set(named)) != len(named):
                raise ValueError("a Slack user stands for one person; two entries of `people` name the same")
        return self

    @property
    def socket_mode(self) -> bool:
        return self.app_token_file is not None


class WebhookSettings(Contract):
    """One receiver by the Standard Webhooks specification."""

    name: Name
    url: str
    secret_files: tuple[Path, ...] = Field(min_length=1, max_length=4)
    """Each holds whsec_ and base64 of 24 to 64 bytes. Several while rotating: every message is signed with each."""
    events: tuple[WebhookEvent, ...] = ()
    """What it is told of; everything where empty."""
    groups: tuple[str, ...] = ()
    """Only questions to one of these groups of approvers; all where empty."""
    functions: tuple[str, ...] = ()
    """Only calls of these functions; all where empty."""
    allow_private: bool = False
    """Whether it may be at a private, loopback or link-local address, and speak plain http there."""
    timeout: float = Field(default=15.0, gt=0, le=30)
    retries: tuple[Annotated[float, Field(ge=0.05, le=86_400)], ...] = (5, 300, 1800, 7200, 18_000, 36_000, 50_400)
    """Seconds after each failed attempt until the next; then it is a dead letter."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        try:
            parts = urlsplit(self.url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            raise ValueError("url is no URL") from None
        if not host or parts.username is not None or parts.password is not None or parts.fragment:
            raise ValueError("url must be absolute, without user, password and fragment")
        if parts.scheme != "https" and not (parts.scheme == "http" and self.allow_private):
            raise ValueError("url must be https; plain http is for private receivers (allow_private: true)")
        return self
