"""callgate.yaml, with overrides from the environment (`CALLGATE_BROKER__URL=…`).

Read once, at the top. Errors name the line and say what to write instead; they never quote a secret, since the
file holds none: credentials are named, not written.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from callgate.addresses import Listen, Url, nats_servers
from callgate.approval_settings import ApprovalSettings
from callgate.development_settings import DevelopmentSettings
from callgate.errors import ConfigurationError
from callgate.identity.settings import ClientCertificateSettings, IssuerSettings, check_distinct
from callgate.ingress_settings import IngressSettings
from callgate.limit_settings import LimitSettings
from callgate.masking_settings import MaskingSettings
from callgate.settings_errors import Source, mistyped_variables, route_problems, schema_problems
from callgate.yaml_text import read_yaml
from contracts.functions import Catalog, Connection, McpConnection, Name
from contracts.model import Contract

_PLAIN = (str, str | None, Path, Path | None)


class BrokerSettings(Contract):
    """Where the broker is and how its streams are laid out."""

    url: Annotated[str, AfterValidator(nats_servers)] | None = None
    """nats://host:port, or several with commas. None: `up` and `demo` start an embedded broker."""
    port: int = Field(default=0, ge=0, le=65535)
    """Of the embedded broker; 0 takes a free one."""
    replicas: Literal[1, 3, 5] = 1
    epoch: int = Field(default=1, ge=1)
    shards: int = Field(default=1, ge=1, le=64)
    tls_ca: Path | None = None
    """A PEM file; where it is set, the broker is spoken to over TLS only."""
    ack_wait: float = Field(default=30.0, gt=0.05)
    """Seconds after which an unacknowledged delivery is delivered again; work in progress extends it."""
    max_ack_pending: int = Field(default=128, ge=1)
    """Deliveries in flight for all replicas of a service together."""
    disk_limit: float = Field(default=0.9, gt=0, le=1)
    """The share of the disk at which ingress admits no more calls."""


class IdentitySettings(Contract):
    issuers: tuple[IssuerSettings, ...] = ()
    client_certificate: ClientCertificateSettings | None = None
    """Where a TLS terminator says which certificate the client has; None: no such header is believed."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.issuers:
            check_distinct(self.issuers)
        return self

    def anchored(self, folder: Path) -> Self:
        """With relative paths taken from there."""

        def anchored(issuer: IssuerSettings) -> IssuerSettings:
            client = issuer.sign_in
            if client is None or client.client_secret_file is None:
                return issuer
            secret = folder / client.client_secret_file
            return issuer.model_copy(update={"sign_in": client.model_copy(update={"client_secret_file": secret})})

        return self.model_copy(update={"issuers": tuple(map(anchored, self.issuers))})


class PolicySettings(Contract):
    folder: Path = Path("policies")
    """Of the *.cedar files."""
    check_every: float = Field(default=1.0, gt=0)
    """Seconds between looks for changed files."""


class ExecutorSettings(Contract):
    instance: str | None = None
    """The replica's name in execution_started; minted at start where absent."""
    clock_skew: float = Field(default=2.0, ge=0)
    """Seconds by which executors' clocks may differ; added to a deadline before anybody else acts."""


class AuditSettings(Contract):
    database: str | None = None
    """An SQLAlchemy URL, sqlite or postgresql+psycopg; None: audit.db in the state folder."""


class TelemetrySettings(Contract):
    level: Literal["debug", "info", "warning", "error"] = "info"
    style: Literal["json", "text"] = "json"
    otlp_endpoint: Url | None = None
    metrics: Literal["local", "everyone"] = "local"
    """Who may read /metrics: peers on loopback, or whoever reaches the door."""


class Settings(BaseSettings):
    """All of callgate.yaml."""

    model_config = SettingsConfigDict(
        env_prefix="CALLGATE_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    deployment: str = Field(default="local", pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")
    state: Path = Path(".callgate")
    """The embedded broker's store, the keys and the projection live here by default."""
    keys: Path | None = None
    """The keys folder; `<state>/keys` where absent."""
    listen: Listen = "127.0.0.1:8080"
    """Of the HTTP doors: one for all services in `up`, each service's own in `serve`."""
    public_url: Url | None = None
    """What people's links begin with; `http://<listen>` where absent."""
    broker: BrokerSettings = BrokerSettings()
    identity: IdentitySettings = IdentitySettings()
    ingress: IngressSettings = IngressSettings()
    masking: MaskingSettings = MaskingSettings()
    policy: PolicySettings = PolicySettings()
    approval: ApprovalSettings = ApprovalSettings()
    executor: ExecutorSettings = ExecutorSettings()
    audit: AuditSettings = AuditSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    limits: tuple[LimitSettings, ...] = ()
    """How much each principal may ask for; as much as they like where empty."""
    development: DevelopmentSettings | None = None
    connections: dict[Name, Connection] = Field(default_factory=dict)

    @field_validator("limits")
    @classmethod
    def _distinct_limits(cls, limits: tuple[LimitSettings, ...]) -> tuple[LimitSettings, ...]:
        if len({limit.name for limit in limits}) != len(limits):
            raise ValueError("two limits have the same name; each counts under its own")
        return limits

    @property
    def keys_folder(self) -> Path:
        return self.keys or self.state / "keys"

    @property
    def catalog(self) -> Catalog:
        return Catalog(self.connections)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file, whose content comes as init arguments."""
        del settings_cls, dotenv_settings, file_secret_settings
        return env_settings, init_settings


def load(path: Path, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a file, relative paths in it taken from its folder. ConfigurationError names file and line."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise ConfigurationError(
            "no_configuration",
            f"{path} is missing; name another with --config, or copy the example callgate.yaml",
        ) from None
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            "no_configuration", f"{path} cannot be read; it must be a file in UTF-8 that this user may read"
        ) from None
    node, document = read_yaml(path, text)
    source = Source(path, node)
    try:
        settings = Settings(**{**document, **(overrides or {})})
    except ValidationError as error:
        problems = [source.explain(problem) for problem in error.errors(include_input=False, include_url=False)]
        raise ConfigurationError("bad_configuration", "\n".join(problems)) from None
    except SettingsError:
        raise ConfigurationError("bad_configuration", _not_json()) from None
    wrong = schema_problems(settings.connections, source) + route_problems(settings.connections, source)
    if wrong:
        raise ConfigurationError("bad_configuration", "\n".join(wrong))
    return _anchored(settings, path.parent)


def mistyped(settings: Settings, environ: Iterable[str]) -> list[str]:
    """What the environment's CALLGATE_ variables say to nobody, for people: a line each, names only."""
    declared: list[str] = []
    for connection in settings.connections.values():
        if connection.credential is not None and connection.credential.env:
            declared.append(connection.credential.env)
        if isinstance(connection, McpConnection):
            declared += connection.env
    return mistyped_variables(Settings, declared, environ)


def _not_json() -> str:
    """A section can be given whole by one variable, as JSON; which one is broken is found by parsing them."""
    for name, value in os.environ.items():
        section = name.upper().removeprefix("CALLGATE_").lower()
        field = Settings.model_fields.get(section)
        if not name.upper().startswith("CALLGATE_") or field is None:
            continue
        try:
            json.loads(value)
        except ValueError:
            if field.annotation not in _PLAIN:
                return f"environment {name}: a whole section must be JSON; or set one value, e.g. {name}__NAME=value"
    return "a CALLGATE_ variable of the environment does not parse"


def _anchored(settings: Settings, folder: Path) -> Settings:
    """Relative paths are the file's, not the working directory's."""
    development = settings.development
    return settings.model_copy(
        update={
            "state": folder / settings.state,
            "keys": folder / settings.keys if settings.keys else None,
            "broker": settings.broker.model_copy(
                update={"tls_ca": folder / ca if (ca := settings.broker.tls_ca) else None}
            ),
            "masking": settings.masking.anchored(folder),
            "approval": settings.approval.anchored(folder),
            "identity": settings.identity.anchored(folder),
            "policy": settings.policy.model_copy(update={"folder": folder / settings.policy.folder}),
            "connections": {name: _anchored_connection(c, folder) for name, c in settings.connections.items()},
            "development": development.anchored(folder) if development is not None else None,
        }
    )


def _anchored_connection(connection: Connection, folder: Path) -> Connection:
    credential = connection.credential
    if credential is None or credential.file is None:
        return connection
    anchored = credential.model_copy(update={"file": folder / credential.file})
    return connection.model_copy(update={"credential": anchored})
