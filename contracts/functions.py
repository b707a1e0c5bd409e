"""Connections and functions, as the operator declares them in callgate.yaml, or as MCP servers tell of them.

A function is `connection.name`, e.g. `payments.refund`. Its definition is public to every service; what
opens the door (the credential) is named here and read by the executor alone, at call time.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from contracts.headers import FixedHeaders
from contracts.model import Contract, JsonValue

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""Names of connections, functions and tags: lower case, digits and underscore, so they fit subjects and Cedar."""

UNKNOWN_FUNCTION = "unknown"
"""Stands in events for every function that no connection declares, whose name is an agent's free text. No function can
be called that, since each has a dot in its name, so policy denies it."""

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A parameter in a path template, e.g. `{id}`."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MEDIA_TYPE = rf"^({JSON}|application/[a-z0-9][a-z0-9.-]*\+json|{FORM}|text/[a-z0-9][a-z0-9.+-]*)$"
MediaType = Annotated[str, Field(pattern=MEDIA_TYPE)]
"""Of a body that masking can read."""
VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
Variable = Annotated[str, Field(pattern=VARIABLE)]


class Credential(Contract):
    """Where the executor finds a connection's credential: an environment variable or a file, never the value."""

    kind: Literal["bearer", "header", "basic"] = "bearer"
    header: str = "Authorization"
    """The header's name for `kind: header`, whose value is the secret as it stands."""
    env: str | None = None
    file: Path | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("name exactly one of `env:` (a variable's name) or `file:` (a path)")
        return self


class Declared(Contract):
    """What every function says of itself, wherever it lives."""

    description: str = ""
    tags: tuple[Name, ...] = ()
    idempotent: bool = False
    input: dict[str, JsonValue] = Field(default_factory=lambda: {"type": "object", "additionalProperties": False})
    """JSON Schema (2020-12) of the arguments, an object. `x-callgate-mask` at a property names an entity or `never`;
    `x-callgate-accepts` lists the entities whose tokens an agent may give back there."""
    output: dict[str, JsonValue] | None = None
    """JSON Schema of the response's body, where it is known: `x-callgate-mask` in it decides about its fields. Bodies
    are not validated against it."""
    timeout: float | None = Field(default=None, gt=0, le=3600)
    """Seconds until the executor aborts the request; the connection's `timeout` where absent."""

    @field_validator("input")
    @classmethod
    def _object(cls, schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if schema.get("type") != "object":
            raise ValueError('the input of a function is a JSON Schema with "type": "object"')
        return schema


class FunctionSpec(Declared):
    """One function of an HTTP connection.

    `path` is a template such as `/customers/{id}`; its parameters come from the arguments, as do those
    named in `query`. What remains is the body (POST, PUT, PATCH) or more query parameters (GET, DELETE).
    """

    method: Method = "POST"
    path: str
    query: tuple[str, ...] = ()
    content: MediaType = Field(default=JSON, exclude_if=lambda content: content == JSON)
    """The media type of its body: JSON of any kind, a form (application/x-www-form-urlencoded), or text/*, whose one
    argument is the text. Left out where it is plain JSON, so that a digest is what it always was."""

    @model_validator(mode="after")
    def _parameters_exist(self) -> Self:
        if not self.path.startswith("/"):
            raise ValueError(f"path {self.path!r} must start with '/'")
        if re.search(r"[?#{}\\\s]|/\.\.?(/|$)", PLACEHOLDER.sub("x", self.path)):
            raise ValueError(f"path {self.path!r} must be segments and {{parameters}}; a query goes under `query:`")
        properties = self.input.get("properties", {})
        required = self.input.get("required", [])
        for name in self.path_parameters:
            if name not in properties or name not in required:
                raise ValueError(f"path parameter {{{name}}} must be a required property of `input`")
        for name in self.query:
            if name not in properties:
                raise ValueError(f"query parameter {name!r} is no property of `input`")
        return self

    @model_validator(mode="after")
    def _body_declared(self) -> Self:
        if self.content != JSON and not self.has_body:
            raise ValueError(f"a {self.method} has no body, so it has no `content:` either")
        if self.body_kind == "text" and self.body_parameter is None:
            raise ValueError(f"`content: {self.content}` takes one string beside path and query, which is the body")
        return self

    @property
    def path_parameters(self) -> tuple[str, ...]:
        return tuple(PLACEHOLDER.findall(self.path))

    @property
    def has_body(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH")

    @property
    def body_kind(self) -> Literal["json", "form", "text"]:
        """How arguments become the body."""
        if self.content == FORM:
            return "form"
        return "text" if self.content.startswith("text/") else "json"

    @property
    def body_parameter(self) -> str | None:
        """The argument that is the body, where that is a text; None where no one string is left for it."""
        placed = {*self.path_parameters, *self.query}
        left = [(name, schema) for name, schema in self.input.get("properties", {}).items() if name not in placed]
        if self.body_kind != "text" or len(left) != 1:
            return None
        name, schema = left[0]
        return name if isinstance(schema, dict) and schema.get("type") == "string" else None


class ToolHints(Contract):
    """What an MCP server says of a tool; nobody vouches for it."""

    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None
    open_world: bool | None = None


class ToolSpec(Declared):
    """One function of an MCP connection: a tool as its server described it, with what the operator says of it."""

    tool: str
    """The tool's name as its server knows it."""
    title: str | None = None
    hints: ToolHints = ToolHints()
    definition: str
    """The digest of the server's own definition, without the operator's part (`contracts.tools.ToolDefinition`)."""


class ConnectionBase(Contract):
    """What every connection has."""

    description: str = ""
    credential: Credential | None = None
    timeout: float = Field(default=30.0, gt=0, le=3600)
    """Seconds from the start of a request to its last byte."""
    response_limit: int = Field(default=1024 * 1024, gt=0, le=64 * 1024 * 1024)
    """Bytes of a response body; a longer one is cut off and the call's result withheld."""
    sender_constrained: bool = False
    """Take calls only from whom a token bound to their key identifies (DPoP or mutual TLS): a stolen token will not
    do."""


class ProxySettings(Contract):
    """What an agent sets to reach a connection through the proxy; `callgate env` prints it."""

    env: tuple[Variable, ...] = ()
    """Variables that its client reads the base URL from, e.g. STRIPE_BASE_URL; `<CONNECTION>_BASE_URL` where empty."""
    token_env: tuple[Variable, ...] = ()
    """Variables that its client reads its bearer token from: the agent's token for Callgate goes there."""


class HttpConnection(ConnectionBase):
    """An HTTP API: where it is, how the executor proves itself to it, and its functions."""

    kind: Literal["http"] = "http"
    base_url: str
    functions: dict[Name, FunctionSpec] = Field(min_length=1)
    headers: FixedHeaders = Field(default_factory=dict)
    """Sent with every request, e.g. `{Notion-Version: "2022-06-28"}`."""
    proxy: ProxySettings | None = None
    """Serve it at `/proxy/<connection>/` as well, for agents that speak its own HTTP; not at all where absent."""

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, url: str) -> str:
        if not url.isascii() or not re.fullmatch(r"https?://[^/?#@\\\s]+(/[^?#\\\s]*)?", url):
            raise ValueError("base_url must be http(s)://host[:port][/path] in ASCII, without user, query or fragment")
        return url.rstrip("/")

    @model_validator(mode="after")
    def _one_of_a_name(self) -> Self:
        own = self.credential.header if self.credential is not None and self.credential.kind == "header" else ""
        if own.lower() in {name.lower() for name in self.headers}:
            raise ValueError(f"{own} is the credential's; take it out of `headers:`")
        return self

    @property
    def address(self) -> str | None:
        """Its URL, to which its credential goes."""
        return self.base_url


class ToolOverride(Contract):
    """What the operator says of an MCP server's tools, beside what the server says."""

    name: Name | None = None
    """The function's name, where the one made of the tool's name will not do."""
    tags: tuple[Name, ...] = ()
    idempotent: bool | None = None
    hidden: bool = False
    """The tool is no function at all."""
    timeout: float | None = Field(default=None, gt=0, le=3600)
    input: dict[str, JsonValue] = Field(default_factory=dict)
    """Laid over the tool's input schema, e.g. `{properties: {note: {x-callgate-mask: PERSON}}}`. The server's own
    `x-callgate-` keywords are dropped."""
    output: dict[str, JsonValue] = Field(default_factory=dict)
    """The same over the schema of its structured results."""


class McpConnection(ConnectionBase):
    """An MCP server, over Streamable HTTP (`url`) or started by the executor (`command`); its tools are functions."""

    kind: Literal["mcp"]
    url: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """Names of the executor's variables that the command is given; it gets no others."""
    protocol: Literal["auto", "2025-11-25", "2026-07-28"] = "auto"
    """The generation spoken: with sessions, without, or the newest that the server offers."""
    accept: Literal["first", "never"] = "first"
    """Whether the first definition of a tool counts as accepted, unless it hides characters; each later one is held
    until somebody accepts it. `never`: the first one too."""
    trust_hints: bool = False
    """Take the server's word that a tool is read-only or idempotent, and may be run again."""
    binary: Literal["carry", "withhold"] = "carry"
    """What becomes of images, audio and other bytes in results, which nobody inspects."""
    refresh: float = Field(default=60.0, ge=0.05, le=86400)
    """Seconds between looks at the server's tools; it is looked at at once where the server says that they changed."""
    tools: dict[str, ToolOverride] = Field(default_factory=dict)
    """By a tool's name, or a pattern such as `get_*`. All that fit count: tags add up, of the rest the later wins, and
    the exact name over patterns."""

    @field_validator("url")
    @classmethod
    def _absolute(cls, url: str | None) -> str | None:
        if url is not None and (not url.isascii() or not re.fullmatch(r"https?://[^/?#@\\\s]+(/[^#\\\s]*)?", url)):
            raise ValueError("url must be http(s)://host[:port][/path] in ASCII, without user or fragment")
        return url

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.url is None) == (self.command is None):
            raise ValueError("name exactly one of `url:` (Streamable HTTP) or `command:` (stdio)")
        if self.command is None and (self.args or self.env):
            raise ValueError("`args:` and `env:` go with `command:`")
        if self.command is not None and self.credential is not None:
            raise ValueError("`credential:` goes with `url:`; name a command's secrets under `env:`")
        names = [one.name for one in self.tools.values() if one.name is not None]
        if len(set(names)) != len(names) or any(set("*?[") & set(key) for key, one in self.tools.items() if one.name):
            raise ValueError("each `name:` under `tools:` must be of one tool, and no two alike")
        return self

    @property
    def address(self) -> str | None:
        """Its URL, to which its credential goes; None where it is a command."""
        return self.url


def _kind(value: Any) -> str:
    kind = value.get("kind", "http") if isinstance(value, Mapping) else getattr(value, "kind", "http")
    return kind if isinstance(kind, str) else ""


Connection = Annotated[
    Annotated[HttpConnection, Tag("http")] | Annotated[McpConnection, Tag("mcp")],
    Discriminator(
        _kind, custom_error_type="connection_kind", custom_error_message="`kind:` must be http (the default) or mcp"
    ),
]

Bar = Literal["function_held", "function_gone"]
"""Why a function that is known may not be called now: its definition changed and nobody accepted that, or its server
offers it no more."""


class Function(Contract):
    """A function with the connection that it belongs to, under its full name."""

    name: str
    connection: str
    spec: FunctionSpec | ToolSpec

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what policy judged: a function changed since then is not the one that was allowed."""
        canonical = json.dumps(
            {"name": self.name, "spec": self.spec.model_dump(mode="json")}, sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(canonical.encode()).hexdigest()


class Catalog:
    """Every function by its full name, at one moment. Unknown names are the caller's to handle: `get` returns None."""

    def __init__(
        self,
        connections: Mapping[str, HttpConnection | McpConnection],
        tools: Iterable[Function] = (),
        barred: Mapping[str, Bar] = MappingProxyType({}),
    ) -> None:
        """`tools` are the functions found at MCP servers; `barred` says which names may not be called, and why."""
        self.connections: Mapping[str, HttpConnection | McpConnection] = dict(connections)
        declared = (
            Function(name=f"{connection}.{name}", connection=connection, spec=spec)
            for connection, one in connections.items()
            if isinstance(one, HttpConnection)
            for name, spec in one.functions.items()
        )
        self._functions = {function.name: function for function in (*declared, *tools)}
        self._digests = {name: function.digest for name, function in self._functions.items()}
        self._barred: Mapping[str, Bar] = dict(barred)

    @property
    def snapshot(self) -> "Catalog":
        """Everything as it is now: whoever looks twice and must see the same, or keeps what is made of it, holds on
        to this."""
        return self

    def get(self, name: str) -> Function | None:
        return self._functions.get(name)

    def digest_of(self, name: str) -> str:
        """The digest of a known function's definition; computed once. KeyError for an unknown name."""
        return self._digests[name]

    def bar(self, name: str) -> Bar | None:
        """Why a function may not be called at this moment; None where nothing stands against it."""
        return self.barred.get(name)

    @property
    def barred(self) -> Mapping[str, Bar]:
        """Which functions may not be called at this moment, and why; also those that nobody accepted yet."""
        return self._barred

    def knows(self, name: str) -> bool:
        """Whether there is such a function, be it one whose definition nobody accepted yet."""
        return name in self._functions or name in self.barred

    def awaits(self, name: str) -> bool:
        """Whether an MCP server may yet turn out to have such a function."""
        return self.kind_of(name) == "mcp" and name not in self._functions

    @property
    def may_grow(self) -> bool:
        """Whether there is an MCP server, which may offer a function that nobody knows yet."""
        return any(one.kind == "mcp" for one in self.connections.values())

    def kind_of(self, name: str) -> str | None:
        """The kind of the connection that a function's name begins with; None where there is none."""
        connection = self.connections.get(name.partition(".")[0])
        return connection.kind if connection is not None else None

    def callable(self) -> Iterator[Function]:
        """The functions that nothing bars."""
        return (function for function in self if self.bar(function.name) is None)

    def __iter__(self) -> Iterator[Function]:
        return iter(self._functions.values())

    def __len__(self) -> int:
        return len(self._functions)
