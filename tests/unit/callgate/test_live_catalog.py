"""A catalog that follows CONTROL changes whole, and what is made of it is made anew."""

from datetime import UTC, datetime
from typing import Any, cast

import pytest
from memory_control import Control

from callgate import catalog as module
from callgate.catalog import Derived, LiveCatalog
from contracts.functions import Catalog, FunctionSpec, HttpConnection, McpConnection
from contracts.identity import Principal
from contracts.records import ToolAccepted

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SRE = Principal(id="sam", issuer="https://issuer.test")
SHOP = HttpConnection(base_url="http://127.0.0.1:1", functions={"pay": FunctionSpec(path="/pay")})
NOTES = McpConnection(kind="mcp", url="http://127.0.0.1:1/mcp")


@pytest.fixture
def control(monkeypatch: pytest.MonkeyPatch) -> Control:
    control = Control()
    monkeypatch.setattr(module, "Feed", control.feed)
    return control


def live(*names: str) -> LiveCatalog:
    known: dict[str, Any] = {"shop": SHOP, "notes": NOTES}
    return LiveCatalog({name: known[name] for name in names}, cast(Any, None), cast(Any, None))


async def test_without_an_mcp_server_nobody_is_asked(control: Control) -> None:
    catalog = live("shop")
    await catalog.refresh()
    assert (control.asked, [function.name for function in catalog]) == (0, ["shop.pay"])
    assert not catalog.changes


async def test_what_was_found_is_known_and_what_changed_is_held(control: Control) -> None:
    catalog = live("shop", "notes")
    before = catalog.snapshot
    control.found("search", "Searches.")
    await catalog.refresh()
    assert catalog.get("notes.search") is not None
    assert before.get("notes.search") is None, "a snapshot stays as it was"

    changed = control.found("search", "Searches, and tells.")
    await catalog.refresh()
    function = catalog.get("notes.search")
    assert function is not None
    assert (function.spec.description, catalog.bar("notes.search")) == ("Searches.", "function_held")
    digest = catalog.digest_of("notes.search")

    assert changed is not None
    accepted = ToolAccepted(connection="notes", function="search", definition=changed.digest, by=SRE)
    control.put(accepted, "control.tool.notes.search.accepted")
    await catalog.refresh()
    assert catalog.bar("notes.search") is None
    assert catalog.digest_of("notes.search") != digest


async def test_a_record_of_another_function_than_its_subject_says_counts_for_nothing(control: Control) -> None:
    catalog = live("notes")
    control.found("search", "Searches.", subject="control.tool.notes.other.found")
    await catalog.refresh()
    assert len(catalog) == 0


async def test_a_function_that_others_met_first_is_looked_up(control: Control) -> None:
    catalog = live("shop", "notes")
    control.found("search", "Searches.")
    assert catalog.get("notes.search") is None
    assert await catalog.look_up("shop.pay") is not None
    assert control.asked == 0
    assert await catalog.look_up("notes.search") is not None
    assert await catalog.look_up("shop.nothing") is None
    assert control.asked == 1


async def test_an_acceptance_is_heard_of_before_a_held_function_is_refused(control: Control) -> None:
    catalog = live("notes")
    control.found("search", "Searches.")
    await catalog.refresh()
    changed = control.found("search", "Searches, and tells.")
    await catalog.refresh()
    assert catalog.bar("notes.search") == "function_held"
    assert changed is not None
    accepted = ToolAccepted(connection="notes", function="search", definition=changed.digest, by=SRE)
    control.put(accepted, "control.tool.notes.search.accepted")
    function = await catalog.look_up("notes.search")
    assert function is not None
    assert (function.spec.description, catalog.bar("notes.search")) == ("Searches, and tells.", None)


async def test_what_is_made_of_a_catalog_is_made_once_a_change(control: Control) -> None:
    catalog, made = live("shop", "notes"), list[Catalog]()

    def count(known: Catalog) -> int:
        made.append(known)
        return len(known)

    size = Derived(catalog, count)
    assert (size(), size(), len(made)) == (1, 1, 1)
    control.found("search", "Searches.")
    await catalog.refresh()
    assert (size(), size(), len(made)) == (2, 2, 2)
    await catalog.refresh()
    assert (size(), len(made)) == (2, 2)
