"""Which function a method and a path are: templates match segment by segment, on the path as it came.

Where several templates match, the one that is literal in the first segment in which they differ wins, and a parameter
beside literal text (`{id}.json`) over one that stands alone. What that does not decide is a mistake of the
configuration, and told there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from urllib.parse import quote

from callgate.http_mapping.building import LITERAL
from contracts.functions import PLACEHOLDER, FunctionSpec


@dataclass(frozen=True, slots=True)
class Segment:
    """Literal text, encoded, around at most one parameter."""

    before: str
    parameter: str | None = None
    after: str = ""

    @property
    def rank(self) -> int:
        if self.parameter is None:
            return 2
        return 1 if self.before or self.after else 0

    def match(self, raw: str) -> str | None:
        """What stands for the parameter; empty where there is none, None where it does not match."""
        if self.parameter is None:
            return "" if raw == self.before else None
        if len(raw) <= len(self.before) + len(self.after):
            return None
        if not (raw.startswith(self.before) and raw.endswith(self.after)):
            return None
        return raw[len(self.before) : len(raw) - len(self.after)]

    def meets(self, other: "Segment") -> bool:
        """Whether some text matches both."""
        if self.parameter is None:
            return other.match(self.before) is not None
        if other.parameter is None:
            return other.meets(self)
        (one, two), (first, last) = sorted((self.before, other.before)), sorted((self.after, other.after), key=len)
        return two.startswith(one) and last.endswith(first)


@dataclass(frozen=True, slots=True)
class Template:
    segments: tuple[Segment, ...]

    @property
    def rank(self) -> tuple[int, ...]:
        return tuple(segment.rank for segment in self.segments)

    def match(self, path: str) -> dict[str, str] | None:
        """The parameters as they stand in the path, encoded; None where it does not match."""
        raws = path.split("/")
        if len(raws) != len(self.segments):
            return None
        found: dict[str, str] = {}
        for segment, raw in zip(self.segments, raws, strict=True):
            text = segment.match(raw)
            if text is None or (segment.parameter is not None and found.get(segment.parameter, text) != text):
                return None
            if segment.parameter is not None:
                found[segment.parameter] = text
        return found

    def meets(self, other: "Template") -> bool:
        """Whether some path matches both."""
        pairs = zip(self.segments, other.segments, strict=False)
        return len(self.segments) == len(other.segments) and all(one.meets(two) for one, two in pairs)


@lru_cache(maxsize=4096)
def template_of(path: str) -> Template | None:
    """The template of a path; None where a segment has several parameters, which no path could be told into."""
    segments = []
    for segment in path.split("/"):
        found = list(PLACEHOLDER.finditer(segment))
        if len(found) > 1:
            return None
        if not found:
            segments.append(Segment(quote(segment, safe=LITERAL)))
            continue
        before, after = segment[: found[0].start()], segment[found[0].end() :]
        segments.append(Segment(quote(before, safe=LITERAL), found[0][1], quote(after, safe=LITERAL)))
    return Template(tuple(segments))


class Routes:
    """The functions of one connection by what is asked of it. `names` are theirs within the connection."""

    def __init__(self, functions: Mapping[str, FunctionSpec]) -> None:
        self._routes = sorted(
            ((template, spec.method, name) for name, spec in functions.items() if (template := template_of(spec.path))),
            key=lambda route: route[0].rank,
            reverse=True,
        )
        self.offered: Sequence[str] = tuple(sorted(f"{spec.method} {spec.path}" for spec in functions.values()))
        """Every method with its path, for people."""

    def find(self, method: str, path: str) -> str | None:
        """The name of the function that a request is for."""
        return next((name for name, found in self._matching(path) if found == method), None)

    def methods(self, path: str) -> list[str]:
        """What a path can be asked with."""
        return sorted({method for _, method in self._matching(path)})

    def _matching(self, path: str) -> Iterator[tuple[str, str]]:
        return ((name, method) for template, method, name in self._routes if template.match(path) is not None)


def undecided(functions: Mapping[str, FunctionSpec]) -> Iterator[tuple[str, str]]:
    """The functions that requests could not be told into, each with what is wrong with its path."""
    for name, spec in functions.items():
        if template_of(spec.path) is None:
            yield name, f"{spec.path} has two parameters in one segment, which the proxy cannot tell apart"
    for (first, one), (second, two) in combinations(functions.items(), 2):
        here, there = template_of(one.path), template_of(two.path)
        if here is None or there is None or one.method != two.method or not here.meets(there):
            continue
        if here.rank == there.rank:
            yield second, f"{two.method} {two.path} and {first}'s {one.path} match the same requests of the proxy"
