"""How people are asked: the section `approval`."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, model_validator

from callgate.channel_settings import EmailSettings, SlackSettings, TeamsSettings, WebhookSettings
from contracts.model import Contract


class ApprovalSettings(Contract):
    secure_cookies: bool = True
    """Off only where the pages are served over plain HTTP on loopback."""
    session_hours: float = Field(default=8.0, gt=0, le=24)
    """After which who signed in to the pages signs in again. Until then their groups are those of the sign-in."""
    sweep_every: float = Field(default=30.0, gt=0)
    """Seconds between looks for calls whose time is up and whose timer was lost."""
    slack: SlackSettings | None = None
    teams: TeamsSettings | None = None
    email: EmailSettings | None = None
    webhooks: tuple[WebhookSettings, ...] = ()
    settlers: tuple[str, ...] = ()
    """Groups that are told of every call of which nobody knows whether it happened, as approvers are told of what waits
    for them. It gives no right: who may settle is policy's word."""
    operators: tuple[str, ...] = ()
    """Groups whose members may see how the sending of notices goes, and have dead letters sent again."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len({webhook.name for webhook in self.webhooks}) != len(self.webhooks):
            raise ValueError("two webhooks have the same name; each keeps a record under its own")
        return self

    @property
    def unheard(self) -> str | None:
        """Why nobody hears of some outcomes that nobody knows, for people; None where somebody does, or where no
        channel is set up at all."""
        if self.slack is None and self.teams is None and self.email is None and not self.webhooks:
            return None
        if self._tells_settlers():
            return None
        if self.settlers:
            return "no channel leads to a group of `approval.settlers` with call.outcome_unknown among its events"
        return "name in `approval.settlers` the groups that settle outcomes"

    def _tells_settlers(self) -> bool:
        settlers, kind = set(self.settlers), "call.outcome_unknown"
        groups = set(self.slack.channels) if self.slack is not None else set()
        if self.teams is not None and kind in self.teams.events:
            groups.update(group for channel in self.teams.channels for group in channel.groups)
        if self.email is not None and kind in self.email.events:
            groups.update(group for one in self.email.lists for group in one.groups)
        for webhook in self.webhooks:
            if not webhook.functions and (not webhook.events or kind in webhook.events):
                if not webhook.groups:
                    return True
                groups.update(webhook.groups)
        return not groups.isdisjoint(settlers)

    def anchored(self, folder: Path) -> Self:
        """With relative paths taken from there."""
        slack = self.slack
        if slack is not None:
            files = _anchored_files(slack, folder, "token_file", "signing_secret_file", "app_token_file")
            slack = slack.model_copy(update=files)
        webhooks = tuple(
            webhook.model_copy(update={"secret_files": tuple(folder / path for path in webhook.secret_files)})
            for webhook in self.webhooks
        )
        teams = self.teams
        if teams is not None:
            channels = (one.model_copy(update={"url_file": folder / one.url_file}) for one in teams.channels)
            teams = teams.model_copy(update={"channels": tuple(channels)})
        email = self.email
        if email is not None:
            email = email.model_copy(update=_anchored_files(email, folder, "password_file", "ca_file"))
        return self.model_copy(update={"slack": slack, "teams": teams, "email": email, "webhooks": webhooks})


def _anchored_files(section: BaseModel, folder: Path, *names: str) -> dict[str, Path]:
    return {name: folder / path for name in names if (path := getattr(section, name)) is not None}
