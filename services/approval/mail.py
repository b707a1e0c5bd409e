"""E-mail by SMTP: one message a notice and list, with a link to where it is decided; nobody decides by mail.

A message holds no argument. What others wrote comes in visible and on one line, so it can neither begin a header nor
pass for a line of ours. A repetition bears the same Message-ID, and all messages about a question are one thread.
"""

import asyncio
import logging
import smtplib
import ssl
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from markupsafe import Markup

from callgate.cedar.published import PublishedPolicies
from callgate.channel_settings import EmailSettings, MailList
from callgate.errors import ConfigurationError
from contracts.identity import Principal
from contracts.lifecycle import Call
from contracts.records import NoticeDue
from services.approval.channels import SendFailed, Told, Unneeded, as_of, asked_in, lost_in
from services.approval.secret_files import SecretMissing, read_secret
from services.approval.words import ASKING, Summary, reasons_in, summary

logger = logging.getLogger("services.approval.mail")

PREFIX = "email-"
_REFUSED_FOR_GOOD = range(500, 600)
_AT_ONCE = 8
"""Mails under way, of all lists together."""
_PLAIN_ASCII = SMTP.clone(cte_type="7bit")
"""On the wire, whatever is written: not every server says that it takes eight bits."""


class Mail:
    """`services.approval.channels.Medium`, an endpoint for each list. Close it in the end.

    `identities` says whom an address stands for, where ids are addresses, and `ended` whether an identity is revoked.
    """

    def __init__(
        self,
        settings: EmailSettings,
        policies: PublishedPolicies,
        clock: Callable[[], datetime],
        public_url: str,
        identities: Callable[[str], Iterable[Principal]],
        ended: Callable[[Principal], bool],
    ) -> None:
        self._settings = settings
        self._lists = {PREFIX + one.name: one for one in settings.lists}
        self._policies = policies
        self._clock = clock
        self._public_url = public_url
        self._identities = identities
        self._ended = ended
        # Not the process' own, in which masking, ingress and audit work too: a server may say nothing for long.
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="mail")

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._lists)

    def retries(self, endpoint: str) -> Sequence[float]:
        del endpoint
        return self._settings.retries

    async def endpoints(self, told: Told) -> Iterable[str]:
        return [name for name, one in self._lists.items() if told.is_for(self._settings.events, one.groups)]

    async def send(self, due: NoticeDue, key: str, call: Call) -> int | None:
        said = summary(due.kind, call, due.event_id, reasons_in(self._policies), self._public_url)
        then = as_of(call, due.event_id)
        thread = (asked_in(then) or lost_in(then)) if then is not None else None
        to = self._recipients(self._lists[due.endpoint], due.kind, call.requested.principal)
        written = message(said, self._settings.sender, to, self._clock(), key, thread or key)
        # A thread: smtplib knows no event loop. Each step of it is bounded by the settings' timeout.
        await asyncio.get_running_loop().run_in_executor(self._threads, deliver, self._settings, written, to)
        return None

    def _recipients(self, to: MailList, kind: str, requester: Principal) -> MailList:
        """The list without those who may decide nothing. Unneeded where that is everybody.

        Nobody is asked about a call of their own; who is revoked hears of nothing.
        """
        own = {name.casefold() for name in requester.people} if kind in ASKING else set[str]()

        def is_told(address: str) -> bool:
            found = tuple(self._identities(address))
            return not any(one.id.casefold() in own or self._ended(one) for one in found)

        told = tuple(address for address in to.to if is_told(address))
        if not told:
            raise Unneeded("nobody_to_tell")
        return to.model_copy(update={"to": told})

    def close(self) -> None:
        """What is under way ends by itself, within its timeouts."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def message(said: Summary, sender: str, to: MailList, at: datetime, key: str, thread: str) -> EmailMessage:
    """Text and HTML. `thread` is the key of the first message about the same thing, to which all others answer."""
    domain = sender.rpartition("@")[2]
    written = EmailMessage(policy=_PLAIN_ASCII)
    written["From"] = sender
    written["To"] = ", ".join(to.to)
    written["Subject"] = said.title
    written["Date"] = format_datetime(at)
    written["Message-ID"] = f"<{key}.{to.name}@{domain}>"
    if key != thread:
        written["In-Reply-To"] = written["References"] = f"<{thread}.{to.name}@{domain}>"
    # RFC 3834: whoever is away answers no machine.
    written["Auto-Submitted"] = "auto-generated"
    written["X-Auto-Response-Suppress"] = "All"
    written.set_content(_as_text(said))
    written.add_alternative(_as_html(said), subtype="html")
    return written


def deliver(settings: EmailSettings, written: EmailMessage, to: MailList) -> None:
    """Hands it to the server. SendFailed, with no word of the server's own."""
    try:
        with _session(settings) as smtp:
            refused = smtp.send_message(written, settings.sender, list(to.to))
    except SecretMissing:
        raise SendFailed("email_password_missing") from None
    except smtplib.SMTPAuthenticationError as error:
        raise SendFailed("email_login_refused", status=error.smtp_code) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        final = all(code in _REFUSED_FOR_GOOD for code in codes)
        raise SendFailed("email_recipients_refused", status=max(codes), final=final) from None
    except smtplib.SMTPResponseException as error:
        raise SendFailed("email_refused", status=error.smtp_code) from None
    except (ssl.SSLError, smtplib.SMTPNotSupportedError):
        raise SendFailed("email_tls_failed") from None
    except (smtplib.SMTPException, OSError, ValueError):
        raise SendFailed("email_unreachable") from None
    if refused:  # the others have it; sent again they would have it twice
        logger.warning("some addresses of a list were refused", extra={"list": to.name, "refused": len(refused)})


def tls_context(settings: EmailSettings) -> ssl.SSLContext:
    """Checks the server's certificate and name. ConfigurationError where `ca_file` is none."""
    context = ssl.create_default_context()
    if settings.ca_file is not None:
        try:
            context.load_verify_locations(settings.ca_file)
        except (OSError, ssl.SSLError):
            raise ConfigurationError(
                "bad_ca_file", f"approval.email.ca_file: {settings.ca_file} is no file of certificates in PEM"
            ) from None
    return context


def _session(settings: EmailSettings) -> smtplib.SMTP:
    password = read_secret(settings.password_file) if settings.password_file is not None else None
    if settings.tls == "implicit":
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            settings.host, settings.port, timeout=settings.timeout, context=tls_context(settings)
        )
    else:
        smtp = smtplib.SMTP(settings.host, settings.port, timeout=settings.timeout)
    try:
        if settings.tls == "starttls":
            smtp.starttls(context=tls_context(settings))
        if settings.username is not None and password is not None:
            smtp.login(settings.username, password)
    except BaseException:
        smtp.close()
        raise
    return smtp


def _as_text(said: Summary) -> str:
    lines = [said.title, said.standing, "", *(f"{name}: {value}" for name, value in said.facts)]
    if said.policies:
        lines += ["", "Held back by", *(f"- {line}" for line in said.policies)]
    return "\n".join([*lines, "", f"{said.action}: {said.url}", "", _WHY]) + "\n"


def _as_html(said: Summary) -> str:
    rows = (Markup("<tr><th align=left>{}</th><td><bdi>{}</bdi></td></tr>").format(*fact) for fact in said.facts)
    parts = [
        Markup("<h1 style='font-size:1.2em'><bdi>{}</bdi></h1><p>{}</p>").format(said.title, said.standing),
        Markup("<table cellpadding=4>{}</table>").format(Markup("").join(rows)),
    ]
    if said.policies:
        lines = (Markup("<li><bdi>{}</bdi></li>").format(line) for line in said.policies)
        parts.append(Markup("<p>Held back by</p><ul>{}</ul>").format(Markup("").join(lines)))
    parts.append(Markup("<p><a href='{}'>{}</a></p><p><small>{}</small></p>").format(said.url, said.action, _WHY))
    return f"<!doctype html><html lang=en><meta charset=utf-8>{Markup('').join(parts)}</html>\n"


_WHY = "You get this because a group that you are in is asked. An answer to this mail decides nothing."
