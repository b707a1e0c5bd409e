"""Where reviewers are told of what waits: the sections `approval.slack`, `teams`, `email` and `webhooks`.

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

Address = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,190}$")]
"""Of e-mail, in ASCII and without a display name."""
Retries = tuple[Annotated[float, Field(ge=0.05, le=86_400)], ...]
"""Seconds after each failed attempt until the next; then it is a dead letter."""

NoticeEvent = Literal[
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
    events: tuple[NoticeEvent, ...] = ()
    """What it is told of; everything where empty."""
    groups: tuple[str, ...] = ()
    """Only questions to one of these groups of approvers; all where empty."""
    functions: tuple[str, ...] = ()
    """Only calls of these functions; all where empty."""
    requesters: tuple[str, ...] = ()
    """Only calls that these agents asked for, named as policies name them; all where empty."""
    allow_private: bool = False
    """Whether it may be at a private, loopback or link-local address, and speak plain http there."""
    timeout: float = Field(default=15.0, gt=0, le=30)
    retries: Retries = (5, 300, 1800, 7200, 18_000, 36_000, 50_400)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        require_receiver(self.url, self.allow_private)
        return self


DEFAULT_TOLD: tuple[NoticeEvent, ...] = (
    "approval.required",
    "approval.approved",
    "approval.rejected",
    "approval.expired",
    "approval.reminder",
    "approval.escalated",
    "approval.glass_broken",
    "call.outcome_unknown",
)
"""What people are told of where they get a message for each: what they may have to act on, and how that ended."""
_SOON: Retries = (5, 30, 120, 600, 1800, 7200)


class TeamsChannel(Contract):
    """A channel of Microsoft Teams with a workflow that posts what it is sent."""

    name: Name
    groups: tuple[str, ...] = Field(min_length=1)
    """Of approvers: what asks one of them is told here."""
    url_file: Path
    """Holds the workflow's URL; whoever knows it may post there, so it is kept like a secret."""


class TeamsSettings(Contract):
    """Microsoft Teams, by the URL that the Workflows app gives ("When a Teams webhook request is received")."""

    channels: tuple[TeamsChannel, ...] = Field(min_length=1)
    events: tuple[NoticeEvent, ...] = Field(default=DEFAULT_TOLD, min_length=1)
    allow_private: bool = False
    """Whether the URLs may lead to private, loopback or link-local addresses, and be plain http there."""
    timeout: float = Field(default=15.0, gt=0, le=30)
    retries: Retries = _SOON

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _require_distinct([channel.name for channel in self.channels])
        return self


class MailList(Contract):
    """Who gets mail about what asks one of these groups of approvers."""

    name: Name
    groups: tuple[str, ...] = Field(min_length=1)
    to: tuple[Address, ...] = Field(min_length=1, max_length=50)
    """One message goes to all of them; where many people read, the address of a mailing list."""


class EmailSettings(Contract):
    """Mail by SMTP, never in clear but to this machine itself."""

    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    """`implicit` is TLS from the first byte (port 465); `none` is for a relay on loopback."""
    ca_file: Path | None = None
    """Whom to trust beside the system's authorities, where the server's certificate is a private one."""
    username: str | None = None
    password_file: Path | None = None
    sender: Address
    lists: tuple[MailList, ...] = Field(min_length=1)
    events: tuple[NoticeEvent, ...] = Field(default=DEFAULT_TOLD, min_length=1)
    timeout: float = Field(default=15.0, gt=0, le=60)
    """Seconds that the server may take for one step."""
    retries: Retries = _SOON

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.tls == "none" and not is_loopback(self.host):
            raise ValueError("tls: none is for a relay on loopback; elsewhere use starttls or implicit")
        if (self.username is None) != (self.password_file is None):
            raise ValueError("give username and password_file together, or neither")
        if self.tls == "none" and self.ca_file is not None:
            raise ValueError("ca_file is for starttls or implicit")
        _require_distinct([one.name for one in self.lists])
        return self


def require_receiver(url: str, allow_private: bool) -> None:
    """ValueError unless it is the URL of a receiver. It quotes nothing: such URLs may hold secrets."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError("url is no URL") from None
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise ValueError("url must be absolute, without user, password and fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and allow_private):
        raise ValueError("url must be https; plain http is for private receivers (allow_private: true)")


def _require_distinct(names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError("two have the same name; each keeps a record under its own")
