"""A mail server for a test, on loopback: STARTTLS or TLS from the first byte, a login, and refusals as told."""

import asyncio
import base64
import contextlib
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "gate", "correct-horse"


@dataclass
class Received:
    """One mail, as it came."""

    sender: str
    to: list[str]
    raw: bytes
    encrypted: bool
    user: str | None

    @property
    def read(self) -> Any:
        message: EmailMessage = message_from_bytes(self.raw, policy=policy.default)
        return message


@dataclass
class MailServer:
    folder: Path
    implicit: bool = False
    offers_tls: bool = True
    port: int = 0
    came: list[Received] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    """The next answers: a command's first word (`data` for the mail itself), and the reply."""
    said: list[str] = field(default_factory=list)
    """First words of all commands."""
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def ca_file(self) -> Path:
        return self.folder / "mail.pem"

    async def until(self, done: Callable[[], Any]) -> Any:
        async with asyncio.timeout(20), self._changed:
            return await self._changed.wait_for(done)

    async def received(self, count: int) -> list[Received]:
        await self.until(lambda: len(self.came) >= count)
        return self.came

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            await self._talk(reader, writer)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        encrypted, user, sender, to = self.implicit, None, "", list[str]()

        async def say(reply: str) -> None:
            writer.write(reply.encode() + b"\r\n")
            await writer.drain()

        await say("220 mail.test")
        while line := (await reader.readline()).decode().rstrip("\r\n"):
            word, _, rest = line.partition(" ")
            word = word.lower()
            async with self._changed:
                self.said.append(word)
                self._changed.notify_all()
            refusal = self._failing(word)
            if refusal is not None:
                await say(refusal)
            elif word == "ehlo":
                more = ["STARTTLS"] if self.offers_tls and not encrypted else []
                more += ["AUTH PLAIN"] if encrypted else []
                lines = ["mail.test", *more, "SIZE 1000000"]
                await say("\r\n".join(f"250{'-' if n < len(lines) - 1 else ' '}{one}" for n, one in enumerate(lines)))
            elif word == "starttls":
                await say("220 go on")
                await writer.start_tls(_context(self.ca_file))
                encrypted = True
            elif word == "auth":
                _, name, password = base64.b64decode(rest.removeprefix("PLAIN ")).decode().split("\0")
                user = name if (name, password) == (USER, PASSWORD) else None
                await say("235 yes" if user else "535 no")
            elif word == "mail":
                sender, to = rest[rest.index("<") + 1 : rest.index(">")], []
                await say("250 ok")
            elif word == "rcpt":
                to.append(rest[rest.index("<") + 1 : rest.index(">")])
                await say("250 ok")
            elif word == "data":
                await say("354 go on")
                raw = await reader.readuntil(b"\r\n.\r\n")
                refusal = self._failing("mail-itself")
                if refusal is None:
                    async with self._changed:
                        self.came.append(Received(sender, to, raw[:-3].replace(b"\r\n..", b"\r\n."), encrypted, user))
                        self._changed.notify_all()
                await say(refusal or "250 taken")
            elif word == "quit":
                await say("221 bye")
                return
            else:
                await say("250 ok")

    def _failing(self, word: str) -> str | None:
        for failure in self.failures:
            if failure[0] == word:
                self.failures.remove(failure)
                return failure[1]
        return None


def make_certificate(file: Path) -> None:
    """Key and self-signed certificate of 127.0.0.1, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(private + certificate.public_bytes(pem))


@contextlib.asynccontextmanager
async def mail_server(folder: Path, **more: Any) -> AsyncIterator[MailServer]:
    here = MailServer(folder, **more)
    make_certificate(here.ca_file)
    context = _context(here.ca_file) if here.implicit else None
    server = await asyncio.start_server(here.serve, "127.0.0.1", 0, ssl=context)
    here.port = server.sockets[0].getsockname()[1]
    try:
        yield here
    finally:
        server.close()
        await server.wait_closed()


def _context(file: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
