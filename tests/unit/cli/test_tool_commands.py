"""`callgate functions changes` shows what a person must see before they accept a tool."""

from cli.tool_commands import _lines

DIGEST = "5f" * 32


def change(**more: object) -> dict[str, object]:
    was = {"title": None, "description": "Adds.", "input": {"type": "object"}, "output": None, "hints": {}}
    now = {**was, "description": "Adds.\x1b[2J And more.", "output": {"type": "object"}}
    said = {"function": "tools.add", "kind": "changed", "definition": DIGEST, "warnings": ["it gives orders"]}
    return {**said, "was": was, "now": now, **more}


def test_what_changed_is_shown_and_nothing_of_it_reaches_the_terminal_raw() -> None:
    text = "\n".join(_lines(change()))
    assert "\x1b[2J" not in text
    assert "it gives orders" in text
    assert "description was: Adds." in text
    assert 'output now: {"type": "object"}' in text
    assert "input" not in text, "it did not change"
    assert f"callgate functions accept tools.add --definition {DIGEST}" in text


def test_of_a_new_tool_all_is_shown() -> None:
    text = "\n".join(_lines(change(kind="new", was=None, warnings=[])))
    assert "was:" not in text
    assert 'input: {"type": "object"}' in text
