"""What Cedar is asked where a list shows many calls, and which of them are opened for it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import cast

import pytest
from approval_calls import START, asked, person

from callgate.cedar import people
from callgate.cedar.people import may
from callgate.cedar.policies import Evaluation, PolicySet
from callgate.cedar.published import PublishedPolicies
from callgate.cedar.schema import cedar_schema
from contracts.events import Finding
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from contracts.model import JsonValue
from services.approval import masked_inputs
from services.approval.domain import CallFacts, Question, Reference, question_of
from services.approval.masked_inputs import MaskedInputs
from services.approval.people import Rights
from services.approval.views import View, Views

FINA = person("fina", "finance")
SPEC = FunctionSpec(
    path="/x", input={"properties": {"amount": {"type": "number"}, "note": {"type": "string"}}, "type": "object"}
)
CATALOG = Catalog({"shop": HttpConnection(base_url="http://x.test", functions={"refund": SPEC, "look": SPEC})})
BY_FUNCTION = """
@id("refunds") permit(principal, action == Action::"approve", resource) when { resource.function == "shop.refund" };
"""
BY_AMOUNT = """
@id("small") permit(principal in Group::"finance", action == Action::"approve", resource)
when { context.input has "shop.refund" && context.input["shop.refund"] has amount
       && context.input["shop.refund"].amount.lessThanOrEqual(decimal("500.0")) };
@id("settles") permit(principal, action == Action::"settle", resource);
"""
BY_NOTE = """
@id("noted") permit(principal, action == Action::"approve", resource)
when { context.input has "shop.refund" && context.input["shop.refund"] has note };
"""


class Published:
    """The policies in force."""

    def __init__(self, text: str) -> None:
        self.policies = PolicySet.load({"p.cedar": text}, cedar_schema(CATALOG))
        assert self.policies.validate() == []

    def in_force(self) -> PolicySet:
        return self.policies


class Opened:
    """Views by the digest of their event, which counts how often each is opened."""

    def __init__(self) -> None:
        self.views: dict[str, View] = {}
        self.opened: list[str] = []
        self.at_once = self.most = 0

    async def of(self, call: CallFacts) -> View:
        self.opened.append(call.masked.digest)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        return self.views[call.masked.digest]


@pytest.fixture
def opened() -> Opened:
    return Opened()


@pytest.fixture
def about(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The functions that Cedar was asked about."""
    found: list[str] = []

    def counted(
        policies: PolicySet, right: people.Right, who: object, resource: JsonValue, *rest: object
    ) -> Evaluation:
        found.append(resource["attrs"]["function"])
        return cast("Callable[..., Evaluation]", may)(policies, right, who, resource, *rest)

    monkeypatch.setattr("services.approval.people.may", counted)
    return found


def rights_under(text: str, opened: Opened) -> Rights:
    def clock() -> datetime:
        return START

    inputs = MaskedInputs(cast("Views", opened), CATALOG)
    return Rights(cast("PublishedPolicies", Published(text)), CATALOG, inputs, clock)


def question(function: str, opened: Opened, view: View | None = None) -> Question:
    found = question_of(asked().call)
    assert found is not None
    opened.views[found.masked.digest] = view or View({})
    return replace(found, function=function)


def refunds(opened: Opened, *amounts: JsonValue) -> list[Question]:
    return [
        question("shop.refund", opened, View({"amount": amount, "note": f"{n}"})) for n, amount in enumerate(amounts)
    ]


async def test_calls_that_differ_by_their_id_alone_are_asked_about_once_and_not_opened(
    opened: Opened, about: list[str]
) -> None:
    rights = rights_under(BY_FUNCTION, opened)
    some, looks = refunds(opened, 1, 2, 3), [question("shop.look", opened) for _ in range(3)]
    assert len({one.ref for one in some}) == 3
    assert await rights.among("approve", FINA, [*some, *looks, question("shop.gone", opened)]) == some
    assert about == ["shop.refund", "shop.look"]
    for one in (some[0], looks[0]):
        assert (await rights.over("approve", one, FINA)).permitted == (one in some)
    assert opened.opened == []


async def test_where_policies_read_the_input_each_call_is_opened_once(opened: Opened, about: list[str]) -> None:
    rights = rights_under(BY_AMOUNT, opened)
    some, other = refunds(opened, 400, 600, 400.0, 400, None, "400"), question("shop.look", opened)
    small = [some[0], some[2], some[3]]
    for _ in range(2):
        assert await rights.among("approve", FINA, [*some, other]) == small
    # 400, 600, no amount (twice), and what is no refund: each amount once, whatever the notes say.
    assert about == ["shop.refund", "shop.refund", "shop.refund", "shop.look"] * 2
    assert sorted(opened.opened) == sorted(one.masked.digest for one in some)
    for one in some:
        assert (await rights.over("approve", one, FINA)).permitted == (one in small)
    assert len(opened.opened) == len(some)
    assert await rights.among("settle", FINA, refunds(opened, 900)) != []
    assert len(opened.opened) == len(some)


async def test_many_are_opened_at_once_but_not_all(opened: Opened) -> None:
    some = refunds(opened, *range(200))
    assert len(await rights_under(BY_AMOUNT, opened).among("approve", FINA, some)) == 200
    assert 1 < opened.most <= masked_inputs.AT_ONCE


@pytest.mark.parametrize(
    "view",
    [
        View(withheld="key_missing"),
        View({"amount": 400}, (Finding(path="/amount", entity="CREDIT_CARD", start=0, end=3),)),
        View({"amount": "[CREDIT_CARD]"}),
        View({"amount": 400.00001}),
        View({}),
        View("[UNINSPECTABLE]"),
    ],
)
async def test_what_cannot_be_seen_permits_nobody(opened: Opened, view: View) -> None:
    rights, one = rights_under(BY_AMOUNT, opened), question("shop.refund", opened, view)
    assert not (await rights.over("approve", one, FINA)).permitted
    assert await rights.among("approve", FINA, [one]) == []


async def test_an_amended_call_is_opened_anew(opened: Opened) -> None:
    rights, (one,) = rights_under(BY_AMOUNT, opened), refunds(opened, 600)
    assert not (await rights.over("approve", one, FINA)).permitted
    opened.views["masked anew"] = View({"amount": 400})
    amended = replace(one, masked=Reference(one.masked.sequence + 2, "masked anew"))
    assert (await rights.over("approve", amended, FINA)).permitted


async def test_only_so_many_inputs_and_no_large_ones_are_kept(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked_inputs, "KEPT", 2)
    rights, (first, *others) = rights_under(BY_AMOUNT, opened), refunds(opened, 1, 2, 3)
    for one in (first, *others, first):
        assert (await rights.over("approve", one, FINA)).permitted
    assert opened.opened.count(first.masked.digest) == 2
    long = question("shop.refund", opened, View({"amount": 1, "note": "x" * masked_inputs.KEPT_LENGTH}))
    whole = rights_under(BY_NOTE, opened)
    for _ in range(2):
        assert await whole.among("approve", FINA, [long]) == [long]
    assert opened.opened.count(long.masked.digest) == 2
