"""callgate.yaml, with overrides from the environment (`CALLGATE_BROKER__URL=…`).

Read once, at the top. Errors name the line and say what to write instead; they never quote a secret, since the
file holds none: credentials are named, not written.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
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

from callgate.addresses import host_and_port, http_url, listen_address, nats_servers
from callgate.channel_settings import EmailSettings, SlackSettings, TeamsSettings, WebhookSettings
from callgate.errors import ConfigurationError
from callgate.identity.settings import ClientCertificateSettings, IssuerSettings, check_distinct, is_loopback
from callgate.limit_settings import LimitSettings
from callgate.masking_settings import Allow, DenySettings, DetectorSettings, EntityName
from callgate.settings_errors import Source, mistyped_variables, schema_problems
from contracts.functions import Catalog, HttpConnection, Name
from contracts.model import Contract

_KEY_TAGS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"})
_PLAIN = (str, str | None, Path, Path | None)

Listen = Annotated[str, BeforeValidator(listen_address)]
"""`host:port`; port 0 takes a free one."""
Url = Annotated[str, AfterValidator(http_url)]


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
    idempotency_hours: int = Field(default=24, ge=1, le=24 * 30)
    """For which an Idempotency-Key leads to the call that it was first used for."""
    mcp: McpSettings = McpSettings()


class IdentitySettings(Contract):
    issuers: tuple[IssuerSettings, ...] = ()
    client_certificate: ClientCertificateSettings | None = None
    """Where a TLS terminator says which certificate the client has; None: no such header is believed."""

    @model_validator(mode="after")
    def _distinct(self) -> "IdentitySettings":
        if self.issuers:
            check_distinct(self.issuers)
        return self


Strategy = Literal["redact", "partial", "hash", "token", "drop", "keep"]


class StrategySettings(Contract):
    """How the view shows what masking found; `services/masking/strategies.py` says what each of them writes."""

    default: Literal["redact", "partial", "hash", "token", "drop"] = "redact"
    """Of every entity that is not named below, but for those that nobody needs to hide (DATE_TIME, URL, AGE)."""
    entities: dict[EntityName, Strategy] = Field(default_factory=dict)


class NerSettings(Contract):
    """A spaCy model that reads long free text for names and places; the operator installs spaCy and the model."""

    model: str
    """A package's name, e.g. en_core_web_sm, or a folder."""
    entities: dict[str, EntityName] = Field(
        default_factory=lambda: {"PERSON": "PERSON", "PER": "PERSON", "GPE": "LOCATION", "LOC": "LOCATION"}
    )
    """The model's labels, and what we call them; others do not count."""
    words: int = Field(default=8, ge=4, le=1000)
    """Of a text, below which it is not read."""


class MaskingSettings(Contract):
    strategies: StrategySettings = StrategySettings()
    detectors: tuple[DetectorSettings, ...] = ()
    """The operator's own; tried on their examples at start."""
    deny: tuple[DenySettings, ...] = ()
    """Words that are always masked."""
    allow: tuple[Allow, ...] = ()
    """What is never masked: exact values, or `{values, pattern, entities}`. Deny lists win."""
    disable: tuple[EntityName, ...] = ()
    """Built-in entities that are not looked for."""
    ner: NerSettings | None = None
    """Off unless configured."""


class PolicySettings(Contract):
    folder: Path = Path("policies")
    """Of the *.cedar files."""
    check_every: float = Field(default=1.0, gt=0)
    """Seconds between looks for changed files."""


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
    operators: tuple[str, ...] = ()
    """Groups whose members may see how the sending of notices goes, and have dead letters sent again."""

    @model_validator(mode="after")
    def _distinct(self) -> "ApprovalSettings":
        if len({webhook.name for webhook in self.webhooks}) != len(self.webhooks):
            raise ValueError("two webhooks have the same name; each keeps a record under its own")
        return self


class ExecutorSettings(Contract):
    instance: str | None = None
    """The replica's name in execution_started; minted at start where absent."""
    clock_skew: float = Field(default=2.0, ge=0)
    """Seconds by which executors' clocks may differ; added to a deadline before anybody else acts."""


class AuditSettings(Contract):
    database: str | None = None
    """An SQLAlchemy URL, sqlite or postgresql+psycopg; None: audit.db in the state folder."""


class DevelopmentSettings(Contract):
    """What `callgate up` starts beside the services, for a laptop and the demo. Never for production."""

    issuer: Listen | None = None
    """Where the embedded OIDC issuer listens; loopback only. Its tokens are then accepted."""
    upstream: Listen | None = None
    """Where the demo upstream listens."""
    upstream_token: Path | None = None
    """The file with the upstream's bearer token, made where it is missing."""

    @field_validator("issuer")
    @classmethod
    def _on_loopback(cls, listen: str | None) -> str | None:
        if listen is not None and not is_loopback(host_and_port(listen)[0]):
            raise ValueError("gives out identities freely, so it must listen on loopback, e.g. 127.0.0.1:8082")
        return listen


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
    connections: dict[Name, HttpConnection] = Field(default_factory=dict)

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
    node, document = _parsed(path, text)
    source = Source(path, node)
    try:
        settings = Settings(**{**document, **(overrides or {})})
    except ValidationError as error:
        problems = [source.explain(problem) for problem in error.errors(include_input=False, include_url=False)]
        raise ConfigurationError("bad_configuration", "\n".join(problems)) from None
    except SettingsError:
        raise ConfigurationError("bad_configuration", _not_json()) from None
    wrong = schema_problems(settings.connections, source)
    if wrong:
        raise ConfigurationError("bad_configuration", "\n".join(wrong))
    return _anchored(settings, path.parent)


def mistyped(settings: Settings, environ: Iterable[str]) -> list[str]:
    """What the environment's CALLGATE_ variables say to nobody, for people: a line each, names only."""
    credentials = (connection.credential for connection in settings.connections.values())
    declared = [credential.env for credential in credentials if credential is not None and credential.env]
    return mistyped_variables(Settings, declared, environ)


def _parsed(path: Path, text: str) -> tuple[Any, dict[str, Any]]:
    """The YAML as nodes, which know their lines, and as a mapping."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _require_plain_keys(path, node)
        document = yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError("bad_yaml", f"{path}:{line}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, ValueError):  # a character that YAML knows not; a date such as 2026-99-99
        raise ConfigurationError("bad_yaml", f"{path}: not YAML; it must be plain text") from None
    if not isinstance(document, dict):
        raise ConfigurationError("bad_yaml", f"{path}:1: the file must be a mapping, e.g. `deployment: local`")
    return node, document


def _require_plain_keys(path: Path, root: Any) -> None:
    """Refuses a name written twice, of which YAML would silently drop one, and names that YAML takes for no text."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        if not isinstance(node, yaml.MappingNode):
            continue
        names: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag not in _KEY_TAGS:
                raise ConfigurationError("bad_yaml", f"{path}:{line}: a name here must be text; put it in quotes")
            if key.value in names:
                raise ConfigurationError("bad_yaml", f"{path}:{line}: {key.value} stands here twice; keep one")
            names.add(key.value)
            waiting.append(value)


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
    if development is not None and development.upstream_token is not None:
        token = folder / development.upstream_token
        development = development.model_copy(update={"upstream_token": token})
    return settings.model_copy(
        update={
            "state": folder / settings.state,
            "keys": folder / settings.keys if settings.keys else None,
            "broker": settings.broker.model_copy(
                update={"tls_ca": folder / ca if (ca := settings.broker.tls_ca) else None}
            ),
            "masking": settings.masking.model_copy(
                update={"deny": tuple(_anchored_list(one, folder) for one in settings.masking.deny)}
            ),
            "approval": _anchored_approval(settings.approval, folder),
            "identity": _anchored_identity(settings.identity, folder),
            "policy": settings.policy.model_copy(update={"folder": folder / settings.policy.folder}),
            "connections": {name: _anchored_connection(c, folder) for name, c in settings.connections.items()},
            "development": development,
        }
    )


def _anchored_approval(approval: ApprovalSettings, folder: Path) -> ApprovalSettings:
    slack = approval.slack
    if slack is not None:
        files = _anchored_files(slack, folder, "token_file", "signing_secret_file", "app_token_file")
        slack = slack.model_copy(update=files)
    webhooks = tuple(
        webhook.model_copy(update={"secret_files": tuple(folder / path for path in webhook.secret_files)})
        for webhook in approval.webhooks
    )
    teams = approval.teams
    if teams is not None:
        channels = (one.model_copy(update={"url_file": folder / one.url_file}) for one in teams.channels)
        teams = teams.model_copy(update={"channels": tuple(channels)})
    email = approval.email
    if email is not None:
        email = email.model_copy(update=_anchored_files(email, folder, "password_file", "ca_file"))
    return approval.model_copy(update={"slack": slack, "teams": teams, "email": email, "webhooks": webhooks})


def _anchored_files(section: BaseModel, folder: Path, *names: str) -> dict[str, Path]:
    return {name: folder / path for name in names if (path := getattr(section, name)) is not None}


def _anchored_identity(identity: IdentitySettings, folder: Path) -> IdentitySettings:
    def anchored(issuer: IssuerSettings) -> IssuerSettings:
        client = issuer.sign_in
        if client is None or client.client_secret_file is None:
            return issuer
        secret = folder / client.client_secret_file
        return issuer.model_copy(update={"sign_in": client.model_copy(update={"client_secret_file": secret})})

    return identity.model_copy(update={"issuers": tuple(map(anchored, identity.issuers))})


def _anchored_list(deny: DenySettings, folder: Path) -> DenySettings:
    return deny.model_copy(update={"file": folder / deny.file}) if deny.file else deny


def _anchored_connection(connection: HttpConnection, folder: Path) -> HttpConnection:
    credential = connection.credential
    if credential is None or credential.file is None:
        return connection
    anchored = credential.model_copy(update={"file": folder / credential.file})
    return connection.model_copy(update={"credential": anchored})
