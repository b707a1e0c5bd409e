"""The arguments as fields of a form, and the JSON Patch that a filled-in form means. Pure.

A form holds text: a text argument is its own text, with line ends as browsers send them; anything else is written as
JSON. A text in which something is hidden is written as JSON too, so that nothing in the field is unseen.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from callgate.jsontext import JsonTextError, parse, pointer_token
from contracts.events import Finding
from contracts.model import JsonValue
from services.approval.rendering import FOLD_ABOVE, is_plain, rows

FIELDS = 600
"""Of a whole form: two for each argument that a page shows, and what adds one."""
FORM_LIMIT = 256 * 1024

How = Literal["text", "json", "choice"]


class BadField(Exception):
    """A field that means nothing; `detail` is for whoever filled it in."""

    def __init__(self, detail: str) -> None:
        super().__init__("bad_field")
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Edit:
    """One argument that may be changed."""

    path: tuple[str, ...]
    how: How
    text: str
    """As the field shows it."""
    kind: str
    entities: tuple[str, ...]

    @property
    def pointer(self) -> str:
        return "".join(map(pointer_token, self.path))

    @property
    def label(self) -> str:
        return label_of(self.path)

    @property
    def long(self) -> bool:
        return self.how == "text" and (len(self.text) > FOLD_ABOVE // 4 or "\n" in self.text)


def label_of(path: tuple[str, ...]) -> str:
    """Where an argument stands, for people."""
    return " › ".join(path)  # noqa: RUF001


def edits_of(arguments: JsonValue, findings: Iterable[Finding]) -> list[Edit]:
    """The arguments in their order; none for what a page does not show whole."""
    shown, _ = rows(arguments, findings)
    return [_edit(row.path, row.value, row.kind, row.entities) for row in shown if row.path and not row.cut]


def patch_of(edits: Iterable[Edit], form: Mapping[str, str]) -> list[JsonValue]:
    """The operations of RFC 6902 that lead from what was shown to what was sent; empty where nothing changed. BadField.

    Removals come last and backwards, so that the index of an item still means what it meant when it was shown.
    """
    known = list(edits)
    removed = [edit for edit in known if form.get(f"remove:{edit.pointer}") == "yes"]
    replaced = (edit for edit in known if edit not in removed)
    return [
        *(operation for edit in replaced for operation in _replacing(edit, form)),
        *({"op": "remove", "path": edit.pointer} for edit in reversed(removed)),
        *_adding(form),
    ]


def _edit(path: tuple[str, ...], value: JsonValue, kind: str, entities: tuple[str, ...]) -> Edit:
    if isinstance(value, str) and is_plain(value):
        return Edit(path, "text", value, kind, entities)
    how: How = "choice" if isinstance(value, bool) else "json"
    return Edit(path, how, json.dumps(value), kind, entities)


def _replacing(edit: Edit, form: Mapping[str, str]) -> Iterator[JsonValue]:
    sent = form.get(f"value:{edit.pointer}")
    if sent is None:
        return
    if edit.how == "text":
        if without_returns(sent) != without_returns(edit.text):
            yield {"op": "replace", "path": edit.pointer, "value": without_returns(sent)}
    elif sent.strip() != edit.text:
        yield {"op": "replace", "path": edit.pointer, "value": _parsed(sent, edit)}


def _parsed(sent: str, edit: Edit) -> JsonValue:
    try:
        value = parse(sent.strip())
    except JsonTextError:
        example = {"number": "40 or 12.5", "yes/no": "true or false", "text": 'text in quotes, such as "EUR"'}
        raise BadField(f"{edit.label}: write {example.get(edit.kind, 'JSON')}.") from None
    if edit.kind == "number" and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise BadField(f"{edit.label}: write a number, such as 40 or 12.5.")
    return value


def _adding(form: Mapping[str, str]) -> Iterator[JsonValue]:
    name, text = form.get("add:name", "").strip(), form.get("add:value", "")
    if not name:
        if text.strip():
            raise BadField("Name the argument that you add.")
        return
    pointer = name if name.startswith("/") else pointer_token(name)
    if form.get("add:as") != "json":
        yield {"op": "add", "path": pointer, "value": without_returns(text)}
        return
    try:
        yield {"op": "add", "path": pointer, "value": parse(text.strip())}
    except JsonTextError:
        raise BadField('What you add is no JSON: write 40, true, "text", [1, 2] or {"a": 1}.') from None


def without_returns(text: str) -> str:
    """With line ends as browsers leave them, but for the carriage returns."""
    return text.replace("\r\n", "\n").replace("\r", "\n")
