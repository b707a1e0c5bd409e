"""Which function a request is: literal text beats a parameter, and what nothing decides is told at configuration."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.http_mapping.routes import Routes, template_of, undecided
from contracts.functions import PLACEHOLDER, FunctionSpec


def functions(**routes: str) -> dict[str, FunctionSpec]:
    """Functions by `METHOD /path`."""
    found = {}
    for name, route in routes.items():
        method, path = route.split(" ")
        names = PLACEHOLDER.findall(path)
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {one: {"type": "string"} for one in names},
            "required": names,
        }
        found[name] = FunctionSpec.model_validate({"method": method, "path": path, "input": schema})
    return found


ROUTES = Routes(
    functions(
        one="GET /customers/{id}",
        me="GET /customers/me",
        put="PUT /customers/{id}",
        export="POST /customers/export",
        file="GET /customers/{id}.json",
        order="GET /customers/{id}/orders/{order}",
        last="GET /customers/{id}/orders/last",
        mine="GET /customers/me/orders/{order}",
        root="GET /",
        spaced="GET /caf%C3%A9/{id}",
    )
)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/customers/c42", "one"),
        ("GET", "/customers/me", "me"),
        ("GET", "/customers/m%65", "one"),
        ("GET", "/customers/export", "one"),
        ("POST", "/customers/export", "export"),
        ("PUT", "/customers/me", "put"),
        ("GET", "/customers/c42.json", "file"),
        ("GET", "/customers/.json", "one"),
        ("GET", "/customers/c42/orders/o1", "order"),
        ("GET", "/customers/c42/orders/last", "last"),
        ("GET", "/customers/me/orders/last", "mine"),
        ("GET", "/", "root"),
        ("GET", "/caf%C3%A9/1", "spaced"),
        ("GET", "/caf%c3%a9/1", None),
        ("DELETE", "/customers/c42", None),
        ("get", "/customers/c42", None),
        ("GET", "/Customers/c42", None),
        ("GET", "/customers/c42/", None),
        ("GET", "/customers/", None),
        ("GET", "//customers/c42", None),
        ("GET", "/customers//c42", None),
        ("GET", "/customers", None),
        ("GET", "customers/c42", None),
        ("GET", "", None),
        ("GET", "/v1/../customers/c42", None),
    ],
)
def test_a_request_is_one_function_or_none(method: str, path: str, name: str | None) -> None:
    assert ROUTES.find(method, path) == name


def test_what_there_is_is_named() -> None:
    assert ROUTES.methods("/customers/me") == ["GET", "PUT"]
    assert "GET /customers/{id}" in ROUTES.offered
    assert ROUTES.methods("/nothing") == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("GET /a/{x}", "GET /a/{y}"),
        ("POST /a", "POST /a"),
        ("GET /a-{x}", "GET /{y}-b"),
        ("GET /{x}/b", "GET /{y}/b"),
        ("GET /a{x}", "GET /ab{y}"),
    ],
)
def test_what_nothing_decides_is_told(first: str, second: str) -> None:
    ((name, wrong),) = undecided(functions(first=first, second=second))
    assert name == "second"
    assert "match the same requests" in wrong


def test_two_parameters_in_one_segment_cannot_be_told_apart() -> None:
    ((name, wrong),) = undecided(functions(good="GET /a/{x}", bad="GET /{x}-{y}"))
    assert name == "bad"
    assert "two parameters" in wrong
    assert template_of("/{x}-{y}") is None
    assert Routes(functions(bad="GET /{x}-{y}")).find("GET", "/a-b") is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("GET /a/{x}", "POST /a/{x}"),
        ("GET /a/{x}", "GET /a/b"),
        ("GET /a/{x}", "GET /a/{x}/b"),
        ("GET /{x}/b", "GET /a/{y}"),
        ("GET /{x}.json", "GET /{x}.csv"),
        ("GET /{x}", "GET /{x}.csv"),
        ("GET /a-{x}", "GET /b-{x}"),
    ],
)
def test_what_is_decided_is_no_mistake(first: str, second: str) -> None:
    assert list(undecided(functions(first=first, second=second))) == []


_template = st.lists(st.sampled_from(["a", "b", "ab", "{x}", "a{x}", "{x}b"]), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(f"{part[:-1]}{i}}}" if part.endswith("}") else part for i, part in enumerate(parts))
)


@given(_template, _template, st.lists(st.sampled_from(["a", "b", "ab", "aab", "abb", "c"]), min_size=1, max_size=3))
def test_two_templates_that_both_match_are_known_to(first: str, second: str, segments: list[str]) -> None:
    path = "/" + "/".join(segments)
    one, two = template_of(first), template_of(second)
    if one is None or two is None:
        return
    if one.match(path) is not None and two.match(path) is not None:
        assert one.meets(two)
        assert two.meets(one)


def test_a_parameter_that_stands_twice_is_the_same_twice() -> None:
    template = template_of("/{id}/copy/{id}")
    assert template is not None
    assert template.match("/a/copy/a") == {"id": "a"}
    assert template.match("/a/copy/b") is None
