"""What a service is to its host: the map from subjects to handlers, its routes, and what runs beside them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from fastapi import APIRouter

from callgate.delivery import Handler, RawHandler
from contracts.identity import Role


@dataclass(frozen=True, slots=True)
class Service:
    """The end of a service's `app.py`."""

    role: Role
    events: Mapping[str, Handler] = field(default_factory=dict)
    """Event name → handler: what the service's durables deliver."""
    deliveries: Mapping[str, RawHandler] = field(default_factory=dict)
    """Deliver subject → handler, for what is no event of a call (timers)."""
    routers: tuple[APIRouter, ...] = ()
    background: tuple[Callable[[], Awaitable[None]], ...] = ()
    """Coroutines that run as long as the service does; one that ends or fails stops the service."""
    ready: Callable[[], str | None] = lambda: None
    """None when the service can do its work, else what it waits for: what `/health` says."""
    stopping: Callable[[], None] = lambda: None
    """Called before the HTTP server stops: whoever waits is to be answered now."""
    close: Callable[[], Awaitable[None]] | None = None
