"""What people may do (approve, settle, audit, reveal) is policy too: one question to Cedar, answered closed."""

import json
from datetime import datetime
from typing import Literal

from callgate.cedar.entities import datetime_value
from callgate.cedar.masked_input import NOTHING_SEEN
from callgate.cedar.policies import Evaluation, PolicySet, Request
from callgate.cedar.schema import APPROVE, SETTLE
from contracts.identity import Principal
from contracts.model import JsonValue

Right = Literal["approve", "settle", "audit", "reveal", "freeze", "unfreeze", "revoke", "unrevoke", "accept"]


def may(
    policies: PolicySet,
    right: Right,
    person: Principal,
    resource: JsonValue,
    now: datetime,
    seen: str = NOTHING_SEEN,
) -> Evaluation:
    """Whether `person` has this right over the call or session that `resource` describes (`entities.py`).

    `seen` is the call's `masked_input`, for the rights that may depend on it: `approve` and `settle`. Only `.decision`
    grants anything; `.reasons` are the `@id`s that granted or forbade it.
    """
    uid, context = resource["uid"], f'"now": {json.dumps(datetime_value(now))}'
    if right in (APPROVE, SETTLE):
        context += f', "input": {seen}'
    request = Request(person.id, right, (uid["type"], uid["id"]), f"{{{context}}}")
    try:
        entities = policies.entities(resource, base=policies.identity(person))
    except ValueError:
        return Evaluation(decision=False, reasons=(), errors=(), refused=True)
    return policies.evaluate([request], entities)[0]
