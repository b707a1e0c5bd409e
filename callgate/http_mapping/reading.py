"""A request to the arguments that it stands for, the inverse of `building`.

Whatever two readers could take for different things is refused: names given twice, paths that decode to other paths,
texts that the schema lets be several values, members of JSON given twice.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from callgate.http_mapping.building import refuse_dot_segments
from callgate.http_mapping.errors import MappingError
from callgate.http_mapping.received import Received
from callgate.http_mapping.routes import template_of
from callgate.http_mapping.texts import kinds_of, value_of
from callgate.jsontext import JsonTextError, parse
from contracts.functions import FunctionSpec
from contracts.model import JsonValue

MAX_DEPTH: Final = 64
_ENCODED = r"%[0-9A-Fa-f]{2}"
_IN_PATH = re.compile(rf"(?:[A-Za-z0-9._~!$&'()*+,=:@-]|{_ENCODED})*")
"""RFC 3986's `pchar` without the semicolon, behind which some servers look for parameters and drop them."""
_IN_QUERY = re.compile(rf"(?:[A-Za-z0-9._~!$'()*,=:@/?\[\]&-]|{_ENCODED})*")
"""Without the semicolon, at which some servers part parameters, and without the plus, which only forms read as a
space; the door writes that as %20."""
_IN_FORM = re.compile(rf"(?:[A-Za-z0-9._~!$'()*+,=:@/?\[\]&-]|{_ENCODED})*")
_SLASH = re.compile(r"[/\\]")
_CONTROL = re.compile(r"[\0-\x1f\x7f]")
_AGAIN = re.compile(_ENCODED)


class RequestReader:
    """Reads requests for one function. Made once: what its schema says of its parameters is looked up here."""

    def __init__(self, spec: FunctionSpec) -> None:
        self._spec = spec
        self._template = template_of(spec.path)
        properties: Mapping[str, JsonValue] = spec.input.get("properties", {})
        self._kinds = {name: kinds_of(schema, spec.input) for name, schema in properties.items()}
        self._folded = {name.casefold(): name for name in properties}
        self._in_query = set(spec.query)
        if not spec.has_body:
            self._in_query |= properties.keys() - set(spec.path_parameters)

    def read(self, received: Received, max_depth: int = MAX_DEPTH) -> dict[str, JsonValue]:
        """The arguments, in the order path, query, body. MappingError."""
        arguments = self._path(received.path)
        for part in (self._query(received.query), self._body(received, max_depth)):
            for name, value in part.items():
                if name in arguments:
                    raise MappingError("parameter_repeated", self._known(name))
                arguments[name] = value
        self._refuse_alike(arguments)
        return arguments

    def _path(self, path: str) -> dict[str, JsonValue]:
        raws = self._template.match(path) if self._template is not None else None
        if raws is None:
            raise MappingError("no_such_route")
        refuse_dot_segments(path)
        return {name: value_of([_segment(raw, name)], self._kinds[name], name) for name, raw in raws.items()}

    def _query(self, query: str) -> dict[str, JsonValue]:
        if not _IN_QUERY.fullmatch(query):
            raise MappingError("query_malformed")
        return self._values(query, self._in_query)

    def _values(self, text: str, allowed: Iterable[str]) -> dict[str, JsonValue]:
        """The values of a query or a form, by the names that may stand there."""
        texts: dict[str, list[str]] = {}
        for pair in text.split("&") if text else ():
            raw, sign, value = pair.partition("=")
            if not sign or not raw:
                raise MappingError("query_malformed")
            texts.setdefault(_decoded(raw), []).append(_decoded(value))
        for name in texts:
            if name not in allowed:
                raise MappingError("parameter_unknown", self._known(name))
        return {name: value_of(found, self._kinds[name], name) for name, found in texts.items()}

    def _body(self, received: Received, max_depth: int) -> dict[str, JsonValue]:
        body, spec = received.body, self._spec
        if not body:
            return {}
        if not spec.has_body:
            raise MappingError("body_unexpected")
        if received.media_type != spec.content:
            raise MappingError("media_type_unknown")
        match spec.body_kind:
            case "json":
                return _object(body, max_depth)
            case "form":
                return self._form(body)
            case "text":
                return {spec.body_parameter or "": _text(body)}

    def _form(self, body: bytes) -> dict[str, JsonValue]:
        text = _text(body)
        if not _IN_FORM.fullmatch(text):
            raise MappingError("form_malformed")
        placed = {*self._spec.path_parameters, *self._spec.query}
        return self._values(text.replace("+", "%20"), self._kinds.keys() - placed)

    def _refuse_alike(self, arguments: Mapping[str, JsonValue]) -> None:
        """Names that differ in case alone, which some parsers (Go's of JSON) take for the same."""
        folded: set[str] = set()
        for name in arguments:
            key = name.casefold()
            if key in folded or (self._folded.get(key, name) != name and name not in self._kinds):
                raise MappingError("parameter_repeated", self._folded.get(key))
            folded.add(key)

    def _known(self, name: str) -> str | None:
        return name if name in self._kinds else None


def _segment(raw: str, name: str) -> str:
    """The text of a path parameter, which is the same however often somebody decodes it, and no more than a segment."""
    if not _IN_PATH.fullmatch(raw):
        raise MappingError("path_malformed", name)
    text = _decoded(raw)
    if _SLASH.search(text):
        raise MappingError("encoded_slash", name)
    if _CONTROL.search(text) or _AGAIN.search(text):
        raise MappingError("path_malformed", name)
    return text


def _decoded(raw: str) -> str:
    try:
        text = unquote_to_bytes(raw).decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise MappingError("not_utf8")
    return text


def _object(body: bytes, max_depth: int) -> dict[str, JsonValue]:
    try:
        document = parse(body, max_depth=max_depth, numbers="exact")
    except JsonTextError as error:
        code = error.code
    else:
        if isinstance(document, dict):
            return document
        code = "body_not_an_object"
    raise MappingError(code)


def _text(body: bytes) -> str:
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or text.startswith("\ufeff"):
        raise MappingError("not_utf8")
    return text
