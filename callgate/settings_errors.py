"""What is wrong with callgate.yaml, in words: where it stands and what to write instead. Values are never quoted."""

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from callgate.http_mapping.routes import undecided
from callgate.schema_annotations import annotation_problems
from contracts.functions import MEDIA_TYPE, VARIABLE, Connection, FunctionSpec, HttpConnection, ToolOverride

PREFIX = "CALLGATE_"
_TESTS = PREFIX + "TEST_"
"""What tells tests where a database is, and the like."""
_OTHERS = frozenset(
    PREFIX + name
    for name in (
        *("CONFIG", "URL", "TOKEN"),  # options of commands
        *("INGRESS_PORT", "APPROVAL_PORT", "AUDIT_PORT", "IMAGE", "MAX_STORE"),  # compose.yaml's
    )
)

_WORDS = {
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "string_type": "must be text; put a number in quotes, and leave the line out where there is nothing to say",
    "path_type": "must be a path",
    "missing": "is missing, and has no default; add it",
    "tuple_type": "must be a list, each entry on a line that begins with `- `",
    "model_type": "must be a section: settings below it, indented; leave it out where there are none",
    "dict_type": "must be a section: names below it, indented; leave it out where there are none",
}
_PATTERNS = {
    "^[a-z0-9][a-z0-9-]{0,62}$": "must be lower-case letters, digits and '-', 63 at most, e.g. payments-eu",
    "^[a-z][a-z0-9_]{0,62}$": "must be lower-case letters, digits and '_', a letter first, 63 at most",
    VARIABLE: "must be the name of a variable, e.g. STRIPE_BASE_URL",
    MEDIA_TYPE: "must be a JSON type, application/x-www-form-urlencoded or text/*, in lower case",
}


class Source:
    """Where settings came from: a file, as YAML nodes, which know their lines, and the environment."""

    def __init__(self, path: Path, node: Any) -> None:
        self._path = path
        self._node = node

    def explain(self, problem: Mapping[str, Any]) -> str:
        """One of pydantic's problems as a line: where, what, and what to write instead."""
        location = [part for part in problem["loc"] if part not in {"__root__", "[key]"}]
        if location[:1] == ["connections"] and location[2:3] in (["http"], ["mcp"]):
            del location[2]  # the kind of connection that was looked for, which stands nowhere in the file
        name = ".".join(str(part) for part in location) or "the file"
        if problem["type"] == "extra_forbidden":
            return f"{self.place(location)}: {name} is no setting; remove it or mend its spelling (docs/operations.md)"
        return f"{self.place(location)}: {name}: {_said(problem)}"

    def place(self, location: Sequence[str | int]) -> str:
        """`file:line` of the deepest part of the location that stands in the file, or the variable that set it."""
        variable = PREFIX + "__".join(str(part).upper() for part in location)
        if variable in {name.upper() for name in os.environ}:
            return f"environment {variable}"
        return f"{self._path}:{_line_of(self._node, location)}"


def _said(problem: Mapping[str, Any]) -> str:
    message: str = problem["msg"]
    if problem["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(problem.get("ctx", {}).get("pattern"), message)
    if problem["type"] == "too_short":
        return f"must have at least {problem['ctx']['min_length']} below it"
    message = _WORDS.get(problem["type"], message).removeprefix("Value error, ")
    return message.removeprefix(f"{problem['loc'][-1]} " if problem["loc"] else "").replace("Input should", "must", 1)


def _line_of(node: Any, location: Sequence[str | int]) -> int:
    line = 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                return line
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line


def mistyped_variables(model: type[BaseModel], declared: Iterable[str], environ: Iterable[str]) -> list[str]:
    """Variables that look like settings and are none, each with the nearest that is one: a line each.

    `declared` are the variables that the settings name themselves, for credentials.
    """
    taken = _OTHERS | {name.upper() for name in declared}
    known = sorted(_variables(model, PREFIX))
    first = {name.removeprefix(PREFIX).partition("__")[0] for name in known}
    lines = []
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper.startswith(_TESTS) or upper in taken:
            continue
        if upper.removeprefix(PREFIX).partition("__")[0] in first:
            continue  # a setting, which was read: what is wrong below it was refused
        near = difflib.get_close_matches(upper, known, n=1, cutoff=0.75)
        lines.append(f"{name} is no setting and does nothing" + (f"; do you mean {near[0]}?" if near else ""))
    return lines


def _variables(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """The variable of every setting, sections first."""
    for name, field in model.model_fields.items():
        variable = prefix + name.upper()
        yield variable
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                yield from _variables(kind, f"{variable}__")


def schema_problems(connections: Mapping[str, Connection], source: Source) -> list[str]:
    """The functions' JSON Schemas that are none, and annotations in them that say nothing, each with its line."""
    problems = []
    for connection, declared in connections.items():
        kind, members = _declared(declared)
        for function, spec in members.items():
            for side, schema in (("input", spec.input), ("output", spec.output)):
                for wrong in _wrong_in(schema):
                    location = ("connections", connection, kind, function, side, *wrong[0])
                    name = ".".join(str(part) for part in location)
                    problems.append(f"{source.place(location)}: {name}: {wrong[1]}")
    return problems


def _declared(connection: Connection) -> tuple[str, Mapping[str, FunctionSpec | ToolOverride]]:
    """Where a connection's schemas stand, and what holds them."""
    if isinstance(connection, HttpConnection):
        return "functions", connection.functions
    return "tools", connection.tools


def route_problems(connections: Mapping[str, Connection], source: Source) -> list[str]:
    """The functions that the proxy could not tell requests into, each with its line."""
    problems = []
    for connection, declared in connections.items():
        if not isinstance(declared, HttpConnection) or declared.proxy is None:
            continue
        for function, wrong in undecided(declared.functions):
            location = ("connections", connection, "functions", function, "path")
            name = ".".join(location)
            problems.append(f"{source.place(location)}: {name}: {wrong}; change one, or leave out `proxy:`")
    return problems


def _wrong_in(schema: Any) -> list[tuple[Sequence[str | int], str]]:
    wrong = _schema_problem(schema)
    return [wrong] if wrong is not None else list(annotation_problems(schema))


def _schema_problem(schema: Any) -> tuple[Sequence[str | int], str] | None:
    """Where in the schema, and what to write there; None for a valid one (or none)."""
    if schema is None:
        return None
    import jsonschema_rs  # noqa: PLC0415  # a tenth of a second: only where there are functions

    try:
        jsonschema_rs.Draft202012Validator(schema, offline=True)
    except jsonschema_rs.ValidationError as error:
        place: Sequence[str | int] = list(error.instance_path)
        kind: Any = error.kind
        if kind.name == "$ref":
            return next(_lost_references(schema), ()), "must refer to what stands in this schema, e.g. `#/$defs/money`"
        if place[-1:] == ["type"]:
            return place, "must be array, boolean, integer, null, number, object or string, or a list of these"
        if place[-1:] == ["pattern"]:
            return place, "is no regular expression; write backslashes in 'single quotes'"
        if kind.name == "type":
            return place, f"must be of type {' or '.join(kind.types)} in a JSON Schema"
        return place, "is not what JSON Schema (2020-12) takes there"
    except ValueError:
        return (), "is no JSON Schema (2020-12)"
    return None


def _lost_references(schema: Any) -> Iterator[Sequence[str | int]]:
    """Where a `$ref` names another document, or a place that is not there."""
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), schema)]
    while waiting:
        place, part = waiting.pop()
        if isinstance(part, dict):
            target = part.get("$ref")
            if isinstance(target, str) and not _leads_somewhere(schema, target):
                yield (*place, "$ref")
            waiting += [((*place, name), value) for name, value in part.items()]
        elif isinstance(part, list):
            waiting += [((*place, index), value) for index, value in enumerate(part)]


def _leads_somewhere(schema: Any, target: str) -> bool:
    if not target.startswith("#"):
        return False
    if not target.startswith("#/"):
        return True  # the schema itself, or an anchor
    for step in target[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(schema, dict) and name in schema:
            schema = schema[name]
        elif isinstance(schema, list) and name.isdigit() and int(name) < len(schema):
            schema = schema[int(name)]
        else:
            return False
    return True
