"""What Cedar is asked where a list shows many calls: once for those that differ by their id alone."""

from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from approval_calls import START, asked, person

from callgate.cedar.policies import Evaluation
from callgate.cedar.published import PublishedPolicies
from contracts.functions import Catalog, FunctionSpec, HttpConnection
from services.approval.domain import Question, question_of
from services.approval.people import Rights


class Asked:
    """Policies that permit what a function whose name ends with `refund` is asked for, and count the questions."""

    def __init__(self) -> None:
        self.about: list[str] = []

    def may(self, right: str, who: object, resource: Any, now: datetime) -> Evaluation:
        function = resource["attrs"]["function"]
        self.about.append(function)
        return Evaluation(decision=function.endswith("refund"), reasons=(), errors=(), refused=False)


def question(function: str) -> Question:
    found = question_of(asked().call)
    assert found is not None
    return replace(found, function=function)


def test_calls_that_differ_by_their_id_alone_are_asked_about_once() -> None:
    policies = Asked()
    spec = FunctionSpec(path="/x")
    catalog = Catalog({"shop": HttpConnection(base_url="http://x.test", functions={"refund": spec, "look": spec})})
    rights = Rights(cast("PublishedPolicies", policies), catalog, lambda: START)
    permitted = rights.listing("approve", person("fina", "finance"))
    refunds, looks = [question("shop.refund") for _ in range(5)], [question("shop.look") for _ in range(5)]
    assert len({one.ref for one in refunds}) == 5
    assert all(map(permitted, refunds))
    assert not any(map(permitted, looks))
    assert not permitted(question("shop.gone"))
    assert policies.about == ["shop.refund", "shop.look"]
    for one in (*refunds[:1], *looks[:1]):
        assert permitted(one) == rights.over("approve", one, person("fina", "finance")).permitted
