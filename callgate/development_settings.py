"""What runs on a laptop beside the services: the section `development`."""

from pathlib import Path
from typing import Self

from pydantic import field_validator

from callgate.addresses import Listen, host_and_port
from callgate.identity.settings import is_loopback
from contracts.model import Contract


class DevelopmentSettings(Contract):
    """What `callgate up` starts beside the services, for a laptop and the demo. Never for production."""

    issuer: Listen | None = None
    """Where the embedded OIDC issuer listens; loopback only. Its tokens are then accepted."""
    upstream: Listen | None = None
    """Where the demo upstream listens."""
    upstream_token: Path | None = None
    """The file with the upstream's bearer token, made where it is missing."""
    mcp: Listen | None = None
    """Where the demo MCP server listens; loopback only."""

    @field_validator("issuer", "mcp")
    @classmethod
    def _on_loopback(cls, listen: str | None) -> str | None:
        if listen is not None and not is_loopback(host_and_port(listen)[0]):
            raise ValueError("asks nobody who they are, so it must listen on loopback, e.g. 127.0.0.1:8082")
        return listen

    def anchored(self, folder: Path) -> Self:
        """With a relative path taken from there."""
        token = self.upstream_token
        return self.model_copy(update={"upstream_token": folder / token}) if token is not None else self
