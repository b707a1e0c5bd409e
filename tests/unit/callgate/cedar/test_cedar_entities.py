"""What Cedar is told of a call: the traits of a requester are all of it that matters."""

from typing import Any

import pytest

from callgate.cedar.entities import call_entity, call_traits
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.identity import Principal

CATALOG = Catalog({"crm": HttpConnection(base_url="http://crm.test", functions={"get": FunctionSpec(path="/x")})})
FUNCTION = next(iter(CATALOG))
KIM = Principal(id="bot", issuer="https://id.test", groups=("a", "b"), on_behalf_of="kim")


def told(requester: Principal) -> Any:
    return call_entity("1-0.s.c", FUNCTION, requester, ["EMAIL_ADDRESS"])


@pytest.mark.parametrize("changed", [{"id": "other"}, {"groups": ("a",)}, {"on_behalf_of": None}])
def test_requesters_of_whom_cedar_is_told_something_else_differ_in_their_traits(changed: dict[str, Any]) -> None:
    other = KIM.model_copy(update=changed)
    assert told(other) != told(KIM)
    assert call_traits(other) != call_traits(KIM)


def test_requesters_with_the_same_traits_are_the_same_to_cedar() -> None:
    every = {name: None for name in Principal.model_fields if name not in ("id", "issuer", "groups", "on_behalf_of")}
    other = KIM.model_copy(update={**every, "issuer": "https://elsewhere.test", "actors": ("x",)})
    assert call_traits(other) == call_traits(KIM)
    assert told(other) == told(KIM)
