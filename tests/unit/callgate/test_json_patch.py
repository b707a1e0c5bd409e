"""JSON Patch: RFC 6902 for the operations that we take, and nothing else; and where documents differ."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.json_patch import MISSING, BadPatch, Change, Operation, apply_patch, changes, checked_patch
from callgate.jsontext import dump

KEYS = st.sampled_from(["a", "b", "", "/", "~", "~1", "0", "-", "note"]) | st.text(max_size=3).filter(str.isprintable)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | KEYS
DOCUMENTS = st.recursive(
    SCALARS, lambda below: st.lists(below, max_size=4) | st.dictionaries(KEYS, below, max_size=4), max_leaves=12
)


def add(path: str, value: Any) -> dict[str, Any]:
    return {"op": "add", "path": path, "value": value}


def replace(path: str, value: Any) -> dict[str, Any]:
    return {"op": "replace", "path": path, "value": value}


def remove(path: str) -> dict[str, Any]:
    return {"op": "remove", "path": path}


def patched(document: Any, *operations: dict[str, Any]) -> Any:
    return apply_patch(document, checked_patch(list(operations)))


@pytest.mark.parametrize(
    ("document", "operation", "result"),
    [  # RFC 6902, appendix A, by its sections
        pytest.param({"foo": "bar"}, add("/baz", "qux"), {"baz": "qux", "foo": "bar"}, id="A.1"),
        pytest.param({"foo": ["bar", "baz"]}, add("/foo/1", "qux"), {"foo": ["bar", "qux", "baz"]}, id="A.2"),
        pytest.param({"baz": "qux", "foo": "bar"}, remove("/baz"), {"foo": "bar"}, id="A.3"),
        pytest.param({"foo": ["bar", "qux", "baz"]}, remove("/foo/1"), {"foo": ["bar", "baz"]}, id="A.4"),
        pytest.param({"baz": "qux"}, replace("/baz", "boo"), {"baz": "boo"}, id="A.5"),
        pytest.param({"foo": "bar"}, add("/child", {"grand": {}}), {"foo": "bar", "child": {"grand": {}}}, id="A.10"),
        pytest.param({"foo": ["bar"]}, add("/foo/-", ["abc", "def"]), {"foo": ["bar", ["abc", "def"]]}, id="A.16"),
        # And what its text says: add replaces a member, an array takes one at its end, tokens are escaped.
        pytest.param({"foo": 1}, add("/foo", None), {"foo": None}, id="add replaces"),
        pytest.param([1], add("/1", 2), [1, 2], id="add at the end"),
        pytest.param({"a/b": {"m~n": 8}}, replace("/a~1b/m~0n", 9), {"a/b": {"m~n": 9}}, id="escapes"),
        pytest.param({"~1": 8}, remove("/~01"), {}, id="escapes in order"),
        pytest.param({"": 1}, replace("/", 2), {"": 2}, id="an empty key"),
        pytest.param({"-": 1, "01": 1}, remove("/01"), {"-": 1}, id="no index in an object"),
    ],
)
def test_as_the_rfc_says(document: Any, operation: dict[str, Any], result: Any) -> None:
    assert patched(document, operation) == result


@pytest.mark.parametrize(
    ("document", "operation"),
    [
        pytest.param({"foo": "bar"}, add("/baz/bat", "qux"), id="A.12: no parent"),
        pytest.param({"foo": "bar"}, remove("/baz"), id="remove what is not there"),
        pytest.param({"foo": "bar"}, replace("/baz", 1), id="replace what is not there"),
        pytest.param({"foo": "bar"}, add("/foo/0", 1), id="below a text"),
        pytest.param([1, 2], add("/3", 1), id="beyond the end"),
        pytest.param([1, 2], replace("/2", 1), id="at the end"),
        pytest.param([1, 2], remove("/-"), id="remove after the end"),
        pytest.param([1, 2], add("/01", 1), id="a leading zero"),
        pytest.param([1, 2], add("/+1", 1), id="a sign"),
        pytest.param([1, 2], remove("/-1"), id="from the end"),
        pytest.param([1, 2], remove("/\u0661"), id="another script's digit"),
        pytest.param([[1]], add("/-/0", 1), id="below what is after the end"),
        pytest.param(40, replace("/a", 1), id="no container"),
    ],
)
def test_does_not_apply(document: Any, operation: dict[str, Any]) -> None:
    with pytest.raises(BadPatch) as refused:
        patched(document, operation)
    assert (refused.value.code, refused.value.operation) == ("patch_does_not_apply", 0)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        [],
        [remove("/a")] * 65,
        ["remove"],
        [{"op": "test", "path": "/a", "value": 1}],
        [{"op": "copy", "from": "/a", "path": "/b"}],
        [{"op": "move", "from": "/a", "path": "/b"}],
        [{"op": ["add"], "path": "/a", "value": 1}],
        [{"op": "add", "path": "/a"}],
        [{"op": "remove", "path": "/a", "value": 1}],
        [{"op": "add", "path": "/a", "value": 1, "from": "/b"}],
        [replace("", {})],
        [remove("a")],
        [remove("#/a")],
        [remove("/a~2")],
        [remove("/a~")],
        [remove("/a" * 65)],
        [remove("/" + "a" * 1025)],
        [{"op": "remove", "path": 1}],
    ],
)
def test_is_no_patch(document: Any) -> None:
    with pytest.raises(BadPatch) as refused:
        checked_patch(document)
    assert refused.value.code == "bad_patch"


def test_all_or_nothing_and_who_is_to_blame() -> None:
    document = {"amount": 400}
    with pytest.raises(BadPatch) as refused:
        patched(document, replace("/amount", 40), remove("/note"))
    assert refused.value.operation == 1
    assert document == {"amount": 400}


def test_quotes_nothing() -> None:
    secret = "4111111111111111"
    for operation in (remove(f"/{secret}"), {"op": secret, "path": "/a"}, {"op": "add", "path": secret, "value": 1}):
        with pytest.raises(BadPatch) as refused:
            patched({"card": secret}, operation)
        assert secret not in f"{refused.value!r} {refused.value.detail}"
    assert secret not in repr(checked_patch([add(f"/{secret}", secret)]))
    assert secret not in repr(changes({"card": 1}, {"card": secret}))


@given(st.recursive(SCALARS | st.builds(add, KEYS, SCALARS), lambda below: st.lists(below) | st.just({"op": "add"})))
def test_whatever_comes_is_a_patch_or_refused(document: Any) -> None:
    try:
        patch = checked_patch(document)
    except BadPatch:
        return
    assert [operation.op for operation in patch] == [one["op"] for one in document]


def as_patch(differences: tuple[Change, ...]) -> list[dict[str, Any]]:
    """What turns the one document into the other. Backwards, so that items leave an array from its end."""
    patch = []
    for change in reversed(differences):
        if change.after is MISSING:
            patch.append(remove(change.path))
        elif change.before is not MISSING:
            patch.append(replace(change.path, change.after))
    return patch + [add(change.path, change.after) for change in differences if change.before is MISSING]


@given(DOCUMENTS, DOCUMENTS)
def test_the_changes_are_what_turns_one_into_the_other(before: Any, after: Any) -> None:
    bytes_before = dump(before)
    differences = changes(before, after)
    assert (not differences) == (canonical(before) == canonical(after))
    if any(change.path == "" for change in differences):
        assert len(differences) == 1
        return
    result = before
    for operation in as_patch(differences):
        result = patched(result, operation)
    assert canonical(result) == canonical(after)
    assert dump(before) == bytes_before, "changed in place"


@given(DOCUMENTS, DOCUMENTS)
def test_no_change_beside_what_differs(before: Any, after: Any) -> None:
    """Each is a place of its own where both sides differ, and no container that could be told apart further."""
    differences = changes(before, after)
    assert len({change.path for change in differences}) == len(differences)
    for change in differences:
        assert change.before is not change.after
        assert not (isinstance(change.before, dict) and isinstance(change.after, dict))
        assert not (isinstance(change.before, list) and isinstance(change.after, list))


def canonical(document: Any) -> str:
    return json.dumps(document, sort_keys=True)


@given(DOCUMENTS, KEYS, DOCUMENTS)
def test_what_is_added_can_be_read_and_removed(document: Any, key: str, value: Any) -> None:
    around = {"x": document}
    added = apply_patch(around, (Operation("add", ("y",), {}), Operation("add", ("y", key), value)))
    assert added == {"x": document, "y": {key: value}}
    assert apply_patch(added, (Operation("remove", ("y",)),)) == around


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"amount": 400, "note": "x"}, {"amount": 40, "note": "x"}, [{"path": "/amount", "before": 400, "after": 40}]),
        ({"a": 1}, {"a": 1, "b": None}, [{"path": "/b", "after": None}]),
        ({"a": None}, {}, [{"path": "/a", "before": None}]),
        ({"a": 1}, {"a": True}, [{"path": "/a", "before": 1, "after": True}]),
        ({"a": 1}, {"a": 1.0}, [{"path": "/a", "before": 1, "after": 1.0}]),
        ({"a": {"b": 1}}, {"a": [1]}, [{"path": "/a", "before": {"b": 1}, "after": [1]}]),
        ({"a/~": [1, 2]}, {"a/~": [1]}, [{"path": "/a~1~0/1", "before": 2}]),
        (1, 2, [{"path": "", "before": 1, "after": 2}]),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, []),
    ],
)
def test_changes_for_people(before: Any, after: Any, expected: list[Any]) -> None:
    assert canonical([change.as_json() for change in changes(before, after)]) == canonical(expected)


def test_no_more_changes_than_asked_for() -> None:
    before, after = list(range(100)), list(range(1, 101))
    assert [change.path for change in changes(before, after, 3)] == ["/0", "/1", "/2"]
