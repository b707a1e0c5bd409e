"""Connections and functions, as the operator declares them in callgate.yaml.

A function is `connection.name`, e.g. `payments.refund`. Its definition is public to every service; what
opens the door (the credential) is named here and read by the executor alone, at call time.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

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


class FunctionSpec(Contract):
    """One function of an HTTP connection.

    `path` is a template such as `/customers/{id}`; its parameters come from the arguments, as do those
    named in `query`. What remains is the JSON body (POST, PUT, PATCH) or more query parameters (GET, DELETE).
    """

    description: str = ""
    tags: tuple[Name, ...] = ()
    idempotent: bool = False
    method: Method = "POST"
    path: str
    query: tuple[str, ...] = ()
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

    @property
    def path_parameters(self) -> tuple[str, ...]:
        return tuple(PLACEHOLDER.findall(self.path))


class HttpConnection(Contract):
    """An HTTP API: where it is, how the executor proves itself to it, and its functions."""

    kind: Literal["http"] = "http"
    description: str = ""
    base_url: str
    credential: Credential | None = None
    timeout: float = Field(default=30.0, gt=0, le=3600)
    """Seconds from the start of a request to its last byte."""
    response_limit: int = Field(default=1024 * 1024, gt=0, le=64 * 1024 * 1024)
    """Bytes of a response body; a longer one is cut off and the call's result withheld."""
    sender_constrained: bool = False
    """Take calls only from whom a token bound to their key identifies (DPoP or mutual TLS): a stolen token will not
    do."""
    functions: dict[Name, FunctionSpec] = Field(min_length=1)

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, url: str) -> str:
        if not url.isascii() or not re.fullmatch(r"https?://[^/?#@\\\s]+(/[^?#\\\s]*)?", url):
            raise ValueError("base_url must be http(s)://host[:port][/path] in ASCII, without user, query or fragment")
        return url.rstrip("/")


Connection = HttpConnection


class Function(Contract):
    """A function with the connection that it belongs to, under its full name."""

    name: str
    connection: str
    spec: FunctionSpec

    @property
    def digest(self) -> str:
        """SHA-256, in hex, of what policy judged: a function changed since then is not the one that was allowed."""
        canonical = json.dumps(
            {"name": self.name, "spec": self.spec.model_dump(mode="json")}, sort_keys=True, separators=(",", ":")
        )
        return hashlib.sha256(canonical.encode()).hexdigest()


class Catalog:
    """Every function by its full name. Unknown names are the caller's to handle: `get` returns None."""

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        self.connections = dict(connections)
        self._functions = {
            f"{connection}.{name}": Function(name=f"{connection}.{name}", connection=connection, spec=spec)
            for connection, declared in connections.items()
            for name, spec in declared.functions.items()
        }
        self._digests = {name: function.digest for name, function in self._functions.items()}

    def get(self, name: str) -> Function | None:
        return self._functions.get(name)

    def digest_of(self, name: str) -> str:
        """The digest of a known function's definition; computed once. KeyError for an unknown name."""
        return self._digests[name]

    def __iter__(self) -> Iterator[Function]:
        return iter(self._functions.values())

    def __len__(self) -> int:
        return len(self._functions)
