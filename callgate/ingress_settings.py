"""The front doors: the section `ingress`."""

from pydantic import Field

from callgate.addresses import Url
from contracts.model import Contract


class McpSettings(Contract):
    """The door for MCP clients, at /mcp."""

    url: Url | None = None
    """Its public address, e.g. https://agents.example.com/mcp; /mcp at `public_url`, else at whatever host is asked."""
    hold: float = Field(default=55.0, gt=0, le=3600)
    """Seconds that a tool call is held open; clients give up after 60 where nobody told them otherwise."""
    hosts: tuple[str, ...] = ()
    """Names in `Host` beside loopback's and those of `url`, `public_url` and `listen`, e.g. ingress:8080, or *."""
    origins: tuple[str, ...] = ()
    """Of web pages that may ask, e.g. https://inspector.example.com, beside loopback's and that of `url`."""
    scopes: tuple[str, ...] = ("openid",)
    """What a client is told to ask the issuer for."""
    sessions: int = Field(default=1000, ge=1, le=100_000)
    """Of the protocol of 2025-11-25, open at once in this process."""
    session_idle: float = Field(default=1800.0, gt=0)
    """Seconds after which a session without a request ends; its client is told to begin another."""


class IngressSettings(Contract):
    body_limit: int = Field(default=1024 * 1024, gt=0, le=16 * 1024 * 1024)
    """Bytes of a request."""
    depth_limit: int = Field(default=32, gt=0, le=64)
    wait: float = Field(default=50.0, ge=0, le=300)
    """Seconds that a request waits for its outcome where it names none; then 202."""
    max_wait: float = Field(default=300.0, ge=0, le=3600)
    held: int = Field(default=15_000, ge=1, le=100_000)
    """Calls and event streams held open at once by one process, 30 KB each; beyond, callers are told to come again."""
    held_share: float = Field(default=0.25, gt=0, le=1)
    """Of `held` that one agent may take, so that it keeps out nobody else."""
    idempotency_hours: int = Field(default=24, ge=1, le=24 * 30)
    """For which an Idempotency-Key leads to the call that it was first used for."""
    mcp: McpSettings = McpSettings()
