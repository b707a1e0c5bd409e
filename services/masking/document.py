"""A JSON document taken apart into its texts, and put together again where some of them changed.

Containers are numbered as they are met, parents before children, so a path is found without having been built for every
leaf, and a view is made from the last container to the first.
"""

from decimal import Decimal
from heapq import heapify, heappop, heappush
from typing import Any, Final

from callgate.jsontext import RawNumber
from contracts.model import JsonValue
from services.masking.places import Path

_WIDEST_NUMBER: Final = 40
"""Digits that a number with an exponent may be written out to; no entity is that long."""


class Dropped:
    """Stands for a member or item that is left out of the view."""


DROPPED: Final = Dropped()


class NotInspectableError(Exception):
    """`code` says why a value cannot be inspected: `too_deep`, `too_large`, `not_json`, …"""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Document:
    """The containers of a document. `change` and `rename` say what becomes of leaves and keys; `view` builds it."""

    def __init__(self, value: JsonValue) -> None:
        self.values: list[Any] = []
        """The containers; what stands where in them: the number of the container around (-1 for none), and the key."""
        self.parents: list[int] = []
        self.keys: list[Any] = []
        self._root: Any = value
        self._changes: dict[int, dict[Any, Any]] = {}
        self._names: dict[int, dict[str, str]] = {}
        """What keys are called in the view, where that is not what they are called here; both by container."""
        self._taken: dict[int, dict[str, int]] = {}
        """By container in which keys were renamed: every name in it, and the number to try next beside it."""

    def enter(self, value: Any, parent: int, key: Any) -> int:
        self.values.append(value)
        self.parents.append(parent)
        self.keys.append(key)
        return len(self.values) - 1

    def path(self, container: int, key: Any) -> Path:
        """The path into the view of what stands there under that key; that of the root is `path(-1, None)`."""
        steps: list[Any] = []
        while container >= 0:
            names = self._names.get(container)
            steps.append(names.get(key, key) if names else key)
            key, container = self.keys[container], self.parents[container]
        return tuple(reversed(steps))

    def path_of(self, container: int) -> Path:
        return self.path(self.parents[container], self.keys[container])

    def change(self, container: int, key: Any, value: Any) -> None:
        if container < 0:
            self._root = value
        else:
            self._changes.setdefault(container, {})[key] = value

    def rename(self, container: int, key: str, name: str) -> None:
        """Gives a key another name, made distinct from its siblings'."""
        names = self._names.setdefault(container, {})
        if container not in self._taken:
            self._taken[container] = dict.fromkeys(self.values[container], 2)
        taken = self._taken[container]
        candidate = name
        while candidate in taken:
            candidate, taken[name] = f"{name}#{taken[name]}", taken[name] + 1
        taken[candidate] = 2
        names[key] = candidate

    def view(self) -> Any:
        """The document with the changes; a container in which nothing changed is the same object."""
        waiting = [-number for number in {*self._changes, *self._names}]
        heapify(waiting)
        while waiting:
            # The last first: what stands inside was entered after what stands around it.
            number = -heappop(waiting)
            parent = self.parents[number]
            if parent >= 0 and parent not in self._changes and parent not in self._names:
                heappush(waiting, -parent)
            self.change(parent, self.keys[number], self._rebuilt(number))
        return self._root

    def _rebuilt(self, number: int) -> Any:
        value = self.values[number]
        changes, names = self._changes.get(number, {}), self._names.get(number, {})
        if isinstance(value, dict):
            members = ((names.get(key, key), changes.get(key, old)) for key, old in value.items())
            return {key: new for key, new in members if new is not DROPPED}
        return [new for index, old in enumerate(value) if (new := changes.get(index, old)) is not DROPPED]


def decimal_text(number: JsonValue) -> str:
    """A number in decimal digits, without exponent as long as that is short; integral ones without a fraction.

    The text that detectors read, and that a finding's span counts in: `4.111111111111111e15` hides no card.
    Raises NotInspectableError.
    """
    if isinstance(number, int):
        if number.bit_length() > 2048:
            raise NotInspectableError("too_large")
        return str(number)
    if isinstance(number, float):
        text = repr(number)
        if "e" not in text and not text.endswith(".0"):
            return text
    elif isinstance(number, RawNumber):
        text = number.text
    else:
        raise NotInspectableError("not_json")
    if len(text) > 400:
        raise NotInspectableError("too_large")
    try:
        exact = Decimal(text)
    except ArithmeticError:
        return text
    if exact.is_finite() and abs(exact.adjusted()) <= _WIDEST_NUMBER:
        text = format(exact, "f")
        if "." in text:
            whole, _, fraction = text.partition(".")
            return text if fraction.strip("0") else whole
    return text
