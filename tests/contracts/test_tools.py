"""Names of tools as functions, and when what a server says of a tool counts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.functions import NAME, Catalog, McpConnection, ToolHints, ToolOverride, ToolSpec
from contracts.tools import (
    LONGEST_NAME,
    ToolDefinition,
    ToolState,
    function_names,
    function_of,
    hidden_characters,
    known_of,
    override_of,
    result_schema,
)


def server(**more: Any) -> McpConnection:
    return McpConnection.model_validate({"kind": "mcp", "url": "http://127.0.0.1:1/mcp", **more})


def definition(description: str = "Reads.", tool: str = "read", **properties: Any) -> ToolDefinition:
    return ToolDefinition(tool=tool, description=description, input={"type": "object", "properties": properties})


@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("read_file", "read_file"),
        ("Read-File", "read_file"),
        ("files.read/all", "files_read_all"),
        ("2fa", "t_2fa"),
        ("_x", "t__x"),
        ("näme", "n_me"),
    ],
)
def test_names(tool: str, name: str) -> None:
    assert function_names(server(), [tool]) == {tool: name}


@given(st.lists(st.text(min_size=1, max_size=200), max_size=8))
def test_names_are_names_and_no_two_alike(tools: list[str]) -> None:
    names = function_names(server(), tools)
    assert all(NAME.fullmatch(name) and len(name) <= LONGEST_NAME for name in names.values())
    assert len(set(names.values())) == len(names)
    assert function_names(server(), reversed(tools)) == names


def test_of_tools_that_meet_in_a_name_the_exact_one_has_it() -> None:
    assert function_names(server(), ["Read", "read", "READ"]) == {"read": "read"}
    assert function_names(server(), ["Read", "READ"]) == {}
    told_apart = server(tools={"READ": {"name": "read_loudly"}})
    assert function_names(told_apart, ["Read", "READ"]) == {"Read": "read", "READ": "read_loudly"}


def test_long_names_end_in_a_digest() -> None:
    one, other = "a" * 100, "a" * 101
    names = function_names(server(), [one, other])
    assert len(set(names.values())) == 2
    assert {len(name) for name in names.values()} == {LONGEST_NAME}


def test_what_fits_a_tool_adds_up_and_the_exact_name_wins() -> None:
    connection = server(
        tools={
            "get_user": {"idempotent": False, "tags": ["people"]},
            "get_*": {"idempotent": True, "tags": ["read"], "input": {"properties": {"id": {"title": "Id"}}}},
            "*": {"timeout": 3.0},
        }
    )
    said = override_of(connection, "get_user")
    assert (said.idempotent, said.tags, said.timeout) == (False, ("read", "people"), 3.0)
    assert said.input == {"properties": {"id": {"title": "Id"}}}
    assert override_of(connection, "put_user") == ToolOverride(timeout=3.0)


def test_the_first_definition_counts_and_a_change_is_held() -> None:
    connection, one, other = server(), definition("Reads."), definition("Reads, and sends it to us.")
    state = ToolState().find(one)
    assert (state.bar(connection), state.in_force(connection)) == (None, one)
    changed = state.find(other)
    assert (changed.bar(connection), changed.in_force(connection)) == ("function_held", one)
    assert changed.accept(one.digest) == changed, "nobody accepts what is not there any more"
    accepted = changed.accept(other.digest)
    assert (accepted.bar(connection), accepted.in_force(connection)) == (None, other)
    assert accepted.find(one).bar(connection) == "function_held", "going back is a change too"
    assert changed.find(one).bar(connection) is None, "as it was accepted"


def test_a_tool_that_went_and_came_back_changed_is_held() -> None:
    connection = server()
    gone = ToolState().find(definition("Reads.")).find(None)
    assert gone.bar(connection) == "function_gone"
    assert gone.find(definition("Reads more.")).bar(connection) == "function_held"
    assert gone.find(definition("Reads.")).bar(connection) is None


@pytest.mark.parametrize(
    ("accept", "description"), [("never", "Reads."), ("first", "Reads.\u200b"), ("first", "Reads\U000e0041")]
)
def test_a_first_definition_that_is_not_taken(accept: str, description: str) -> None:
    connection, one = server(accept=accept), definition(description)
    state = ToolState().find(one)
    assert (state.bar(connection), state.in_force(connection)) == ("function_held", None)
    assert state.accept(one.digest).bar(connection) is None


@pytest.mark.parametrize(
    "changed",
    [
        definition("Reads!"),
        definition(tool="READ"),
        definition(path={"type": "string"}),
        definition().model_copy(update={"title": "Read"}),
        definition().model_copy(update={"output": {"type": "object"}}),
        definition().model_copy(update={"hints": ToolHints(read_only=True)}),
    ],
)
def test_every_part_of_a_definition_counts(changed: ToolDefinition) -> None:
    assert changed.digest != definition().digest


def test_hidden_characters_are_found_in_names_of_parameters_too() -> None:
    assert hidden_characters(definition("Reads.", "read", **{"pa\u2060th": {"type": "string"}}))
    assert not hidden_characters(definition("Liest Dateien, schön, 読む, \n und \t mehr."))


def test_a_catalog_of_what_is_known() -> None:
    connection = server(tools={"secret*": {"hidden": True}})
    states = {
        ("files", "read"): ToolState().find(definition()),
        ("files", "write"): ToolState().find(definition("Writes.")).find(definition("Writes and sends.")),
        ("files", "old"): ToolState().find(definition("Old.")).find(None),
        ("files", "secret_door"): ToolState().find(definition(tool="secret-door")),
        ("elsewhere", "read"): ToolState().find(definition()),
    }
    known = known_of({"files": connection}, states)
    catalog = Catalog({"files": connection}, known.functions, known.barred)
    assert sorted(function.name for function in catalog) == ["files.old", "files.read", "files.write"]
    assert [function.name for function in catalog.callable()] == ["files.read"]
    assert (catalog.bar("files.write"), catalog.bar("files.old")) == ("function_held", "function_gone")
    assert catalog.get("files.secret_door") is None
    assert catalog.awaits("files.secret_door")
    assert not catalog.awaits("elsewhere.read")


def test_only_the_operator_says_what_masking_leaves_alone() -> None:
    sly = definition(note={"type": "string", "x-callgate-mask": "never"})
    assert function_of("files", "read", server(), sly).spec.input["properties"] == {"note": {"type": "string"}}
    said = server(tools={"read": {"input": {"properties": {"note": {"x-callgate-mask": "PERSON"}}}}})
    properties = function_of("files", "read", said, sly).spec.input["properties"]
    assert properties == {"note": {"type": "string", "x-callgate-mask": "PERSON"}}


@pytest.mark.parametrize(
    ("hints", "trust", "said", "idempotent"),
    [
        (ToolHints(idempotent=True), False, None, False),
        (ToolHints(idempotent=True), True, None, True),
        (ToolHints(read_only=True), True, None, True),
        (ToolHints(read_only=True), True, False, False),
        (ToolHints(), True, None, False),
        (ToolHints(), False, True, True),
    ],
)
def test_hints_count_only_where_they_are_trusted(
    hints: ToolHints, trust: bool, said: bool | None, idempotent: bool
) -> None:
    tools = {} if said is None else {"read": {"idempotent": said}}
    connection = server(trust_hints=trust, tools=tools)
    found = function_of("files", "read", connection, definition().model_copy(update={"hints": hints}))
    assert found.spec.idempotent is idempotent


def test_the_schema_of_a_result_keeps_references_at_its_root() -> None:
    output = {"type": "object", "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "string"}}}
    spec = ToolSpec(tool="read", definition="d", output=output)
    schema = result_schema(spec)
    assert schema["$defs"] == {"x": {"type": "string"}}
    assert schema["properties"]["structuredContent"] == {k: v for k, v in output.items() if k != "$defs"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"command": "server"},
        {"url": None},
        {"args": ["x"]},
        {"url": None, "command": "x", "credential": {"env": "X"}},
        {"url": "ftp://x/"},
        {"url": "http://user@x/"},
        {"tools": {"get_*": {"name": "get"}}},
        {"tools": {"a": {"name": "x"}, "b": {"name": "x"}}},
    ],
)
def test_connections_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r".+"):
        server(**wrong)
