"""JSON Patch (RFC 6902), as far as reviewers may use it: `add`, `replace` and `remove`, and what a patch changed.

Whoever writes a patch sees the masked form of the document that it is applied to. So `test`, which would tell them
whether they guessed what is masked, and `copy` and `move`, which would bring it where it is not, are refused.
Pure; a document is never changed in place. Errors quote neither paths nor values.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Any, Final, Literal

from callgate.jsontext import dump, pointer_steps, pointer_token
from contracts.model import JsonValue

MOST_OPERATIONS: Final = 64
MOST_STEPS: Final = 64
"""Of one path; as deep as documents may be nested."""
_LONGEST_STEP: Final = 1024
_MEMBERS: Final = {"add": {"op", "path", "value"}, "replace": {"op", "path", "value"}, "remove": {"op", "path"}}
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile(r"~(?![01])")


class BadPatch(ValueError):
    """`code` is `bad_patch` (it is no patch that we take) or `patch_does_not_apply` (a place is not there).

    `operation` counts from 0, where one is to blame; `detail` says what is wrong with it.
    """

    def __init__(
        self, code: Literal["bad_patch", "patch_does_not_apply"], detail: str, operation: int | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.operation = operation


@dataclass(frozen=True, slots=True)
class Operation:
    """One change in one place. `path` are the steps to it, unescaped, at least one."""

    op: Literal["add", "replace", "remove"]
    path: tuple[str, ...] = field(repr=False)
    value: JsonValue = field(default=None, repr=False)


Patch = tuple[Operation, ...]


class Missing(Enum):
    """Stands where there is no value, not even null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Change:
    """A place where two documents differ, as a JSON pointer (RFC 6901); MISSING where one has nothing there."""

    path: str
    before: JsonValue | Missing = field(repr=False)
    after: JsonValue | Missing = field(repr=False)

    def as_json(self) -> dict[str, JsonValue]:
        """`{"path", "before", "after"}`, without what is missing."""
        sides = {"before": self.before, "after": self.after}
        return {"path": self.path, **{name: value for name, value in sides.items() if value is not MISSING}}


def checked_patch(document: JsonValue) -> Patch:
    """The patch of a parsed JSON document. BadPatch(`bad_patch`)."""
    if not isinstance(document, list) or not 1 <= len(document) <= MOST_OPERATIONS:
        raise BadPatch("bad_patch", f"a patch is a list of 1 to {MOST_OPERATIONS} operations")
    return tuple(_operation(number, one) for number, one in enumerate(document))


def apply_patch(document: JsonValue, patch: Patch) -> JsonValue:
    """A new document, which shares with the old one what is the same. BadPatch(`patch_does_not_apply`): all or nothing.

    The time is bounded by the operations, times their steps, times the members beside each step.
    """
    for number, operation in enumerate(patch):
        try:
            document = _applied(document, operation.path, operation)
        except LookupError:
            raise BadPatch("patch_does_not_apply", "there is no such place", number) from None
    return document


def below(container: JsonValue, step: str) -> JsonValue:
    """The member or item that one step of a path leads to. LookupError where there is none."""
    if isinstance(container, dict):
        return container[step]
    if isinstance(container, list):
        return container[_index(step)]
    raise LookupError


def changes(before: JsonValue, after: JsonValue, most: int | None = None) -> tuple[Change, ...]:
    """Where two documents differ, in their order, each place as deep as both have containers of the same kind.

    Items of arrays are compared by their index. At most `most`: ask for one more than you show to know of others.
    """
    return tuple(islice(_differences(before, after, ""), most))


def _operation(number: int, document: JsonValue) -> Operation:
    def bad(detail: str) -> BadPatch:
        return BadPatch("bad_patch", detail, number)

    op = document.get("op") if isinstance(document, dict) else None
    if not isinstance(op, str) or op not in _MEMBERS:
        raise bad("an operation is an object whose `op` is add, replace or remove")
    if document.keys() != _MEMBERS[op]:
        raise bad(f"`{op}` has the members {', '.join(sorted(_MEMBERS[op]))}, and no others")
    path = document["path"]
    if not isinstance(path, str) or not path.startswith("/"):
        raise bad("`path` is a JSON pointer below the root: it begins with /")
    steps = path[1:].split("/")
    if len(steps) > MOST_STEPS or any(len(step) > _LONGEST_STEP for step in steps):
        raise bad(f"`path` has at most {MOST_STEPS} steps of at most {_LONGEST_STEP} characters")
    if _BAD_ESCAPE.search(path):
        raise bad("`~` in a path is written ~0, and `/` ~1")
    return Operation(op, pointer_steps(path), document.get("value"))  # type: ignore[arg-type]  # one of the keys of _MEMBERS


def _applied(value: JsonValue, path: tuple[str, ...], operation: Operation) -> JsonValue:
    """The value with the operation done below it. LookupError where the path leads nowhere."""
    step, *rest = path
    if isinstance(value, dict):
        return _in_object(dict(value), step, tuple(rest), operation)
    if isinstance(value, list):
        return _in_array(list(value), step, tuple(rest), operation)
    raise LookupError


def _in_object(members: dict[str, Any], step: str, rest: tuple[str, ...], operation: Operation) -> JsonValue:
    if rest:
        members[step] = _applied(members[step], rest, operation)
    elif operation.op == "remove":
        del members[step]
    elif operation.op == "add" or step in members:
        members[step] = operation.value
    else:
        raise LookupError
    return members


def _in_array(items: list[Any], step: str, rest: tuple[str, ...], operation: Operation) -> JsonValue:
    adding = operation.op == "add" and not rest
    index = len(items) if adding and step == "-" else _index(step)
    if index > len(items) or (index == len(items) and not adding):
        raise LookupError
    if rest:
        items[index] = _applied(items[index], rest, operation)
    elif operation.op == "remove":
        del items[index]
    elif adding:
        items.insert(index, operation.value)
    else:
        items[index] = operation.value
    return items


def _index(step: str) -> int:
    if not _INDEX.fullmatch(step):
        raise LookupError
    return int(step)


def _differences(before: JsonValue, after: JsonValue, pointer: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        places = [(pointer_token(key), before.get(key, MISSING), after.get(key, MISSING)) for key in before | after]
    elif isinstance(before, list) and isinstance(after, list):
        size = max(len(before), len(after))
        places = [(f"/{index}", _item(before, index), _item(after, index)) for index in range(size)]
    else:
        if not _same(before, after):
            yield Change(pointer, before, after)
        return
    for step, old, new in places:
        yield from _differences(old, new, pointer + step)


def _item(items: list[Any], index: int) -> JsonValue | Missing:
    return items[index] if index < len(items) else MISSING


def _same(before: JsonValue | Missing, after: JsonValue | Missing) -> bool:
    """As JSON writes them: `1` is neither `true` nor `1.0`."""
    if before is MISSING or after is MISSING or type(before) is not type(after):
        return before is after
    return dump(before) == dump(after)
