"""docs/codes.md lists every code of a problem that the sources can answer, under the status that they give it."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

from callgate.identity.errors import Refusal as IdentityRefusal
from services.approval.domain import Refusal as DecisionRefusal
from services.ingress.proxy.receiving import _DETAILS

ROOT = Path(__file__).parents[3]
WITH_STATUS = {"Problem", "BadRequest"}
"""Called with a status and a code."""
OF_422 = {"BadScope", "BadAmendment", "BadCondition", "BadPatch"}
WITH_CODE = {"NotAllowed": 403, "OverLimit": 429, "Retryable": 503}
"""Called with a code, perhaps after something else; answered with this status."""
CODE = re.compile(r"[a-z][a-z0-9_]*")


@functools.cache
def sources() -> tuple[tuple[Path, ast.Module], ...]:
    paths = (path for folder in ("callgate", "services") for path in sorted((ROOT / folder).rglob("*.py")))
    # What the client raises is answered to nobody.
    return tuple((path, ast.parse(path.read_text())) for path in paths if path.parent.name != "client")


def texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.IfExp):
        yield from (*texts(node.body), *texts(node.orelse))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
        yield node.value


def name_of(called: ast.expr) -> str:
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


def of_call(call: ast.Call) -> Iterator[tuple[int, str]]:
    name, arguments = name_of(call.func), call.args
    if name in WITH_STATUS and len(arguments) > 1 and isinstance(arguments[0], ast.Constant):
        yield from ((int(str(arguments[0].value)), code) for code in texts(arguments[1]))
    elif name in OF_422 and arguments:
        yield from ((422, code) for code in texts(arguments[0]))
    elif name in WITH_CODE:
        yield from ((WITH_CODE[name], code) for argument in arguments[:2] for code in texts(argument))


def of_class(defined: ast.ClassDef) -> Iterator[tuple[int, str]]:
    """What may work later is a 503 with the one code that the class gives to its base; so is the lack of policies."""
    if defined.name == "NoPolicies" or "Retryable" in map(name_of, defined.bases):
        for node in ast.walk(defined):
            if isinstance(node, ast.Call) and name_of(node.func) == "__init__" and node.args:
                yield from ((503, code) for code in texts(node.args[0]))


@functools.cache
def answered() -> frozenset[tuple[int, str]]:
    found = {(401, refusal.value) for refusal in IdentityRefusal if refusal is not IdentityRefusal.ISSUER_UNREACHABLE}
    found |= {(400, code) for code in _DETAILS if code != "no_such_route"}
    for path, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                found |= set(of_call(node))
            elif isinstance(node, ast.ClassDef):
                found |= set(of_class(node))
            elif isinstance(node, ast.Return) and node.value is not None and path.name == "disk.py":
                found |= {(503, code) for code in texts(node.value)}
    return frozenset(found)


def listed() -> set[tuple[int, str]]:
    """Code and status of each line under "Problems"."""
    page = (ROOT / "docs/codes.md").read_text().split("\n## Problems\n")[1]
    rows = re.findall(r"^\| ((?:`[a-z_0-9]+`(?:, )?)+) \| ([0-9, ]+) \| .+ \|$", page, re.MULTILINE)
    return {
        (int(status), code)
        for codes, statuses in rows
        for code in CODE.findall(codes)
        for status in statuses.split(",")
    }


def test_the_sources_are_read() -> None:
    """Each of these is written in another way; a reader of sources that finds nothing would prove nothing."""
    assert {
        (400, "bad_json"),
        (403, "not_permitted_in_advance"),
        (413, "call_too_large"),
        (422, "never_holds"),
        (429, "rate_limited"),
        (503, "database_away"),
        (503, "log_full"),
        (503, "no_policies"),
    } <= answered()


def test_every_problem_is_on_the_page() -> None:
    missing = answered() - listed() - {(status, "http_error") for status in range(400, 600)}
    assert not missing, f"write in docs/codes.md, under Problems, what to do on {sorted(missing)}"


def test_every_refused_decision_is_on_the_page() -> None:
    assert {refusal.value for refusal in DecisionRefusal} <= {code for status, code in listed() if status != 401}


def test_the_page_lists_nothing_else() -> None:
    """What no source answers any more is told to nobody: the page forgets it too."""
    words = {
        word for _, tree in sources() for node in ast.walk(tree) if isinstance(node, ast.expr) for word in texts(node)
    }
    assert {code for _, code in listed()} <= words
