"""Whether channels have what they need to tell anybody: asked at approval's start, and by `callgate doctor`."""

from collections.abc import Iterator

from callgate.approval_settings import ApprovalSettings
from callgate.channel_settings import EmailSettings, SlackSettings, TeamsSettings, WebhookSettings, require_receiver
from callgate.errors import ConfigurationError
from services.approval.mail import tls_context
from services.approval.secret_files import SecretMissing, read_secret, require_secret
from services.approval.webhooks import secret_bytes


def lacking(settings: ApprovalSettings) -> Iterator[ConfigurationError]:
    """Every file that is missing, cannot be read or holds something else, by setting and path; never what it holds.

    Approval refuses to start with any of them rather than be silent at the first notice.
    """
    if settings.slack is not None:
        yield from _slack(settings.slack)
    for webhook in settings.webhooks:
        yield from _webhook(webhook)
    if settings.teams is not None:
        yield from _teams(settings.teams)
    if settings.email is not None:
        yield from _email(settings.email)


def _slack(slack: SlackSettings) -> Iterator[ConfigurationError]:
    for name in ("token_file", "signing_secret_file", "app_token_file"):
        if (path := getattr(slack, name)) is not None:
            try:
                require_secret(path, f"approval.slack.{name}")
            except ConfigurationError as error:
                yield error


def _webhook(webhook: WebhookSettings) -> Iterator[ConfigurationError]:
    for path in webhook.secret_files:
        try:
            require_secret(path, f"approval.webhooks: {webhook.name}")
            secret_bytes(read_secret(path))
        except ConfigurationError as error:
            yield error
        except SecretMissing:
            yield ConfigurationError(
                "bad_webhook_secret",
                f"approval.webhooks: {webhook.name}: {path} must hold whsec_ and base64 of 24 to 64 random bytes",
            )


def _teams(teams: TeamsSettings) -> Iterator[ConfigurationError]:
    for channel in teams.channels:
        try:
            require_secret(channel.url_file, f"approval.teams: {channel.name}")
            require_receiver(read_secret(channel.url_file), teams.allow_private)
        except ConfigurationError as error:
            yield error
        except (SecretMissing, ValueError):
            yield ConfigurationError(
                "bad_teams_url",
                f"approval.teams: {channel.name}: {channel.url_file} must hold the https URL that Workflows gives",
            )


def _email(email: EmailSettings) -> Iterator[ConfigurationError]:
    try:
        if email.password_file is not None:
            require_secret(email.password_file, "approval.email.password_file")
    except ConfigurationError as error:
        yield error
    try:
        tls_context(email)
    except ConfigurationError as error:
        yield error
