"""What people may do (approve, settle, audit, reveal) is policy too: one question to Cedar, answered closed."""

import json
from datetime import datetime
from typing import Literal

from callgate.cedar.entities import datetime_value
from callgate.cedar.policies import Evaluation, PolicySet, Request
from contracts.identity import Principal
from contracts.model import JsonValue

Right = Literal["approve", "settle", "audit", "reveal", "freeze", "unfreeze", "revoke", "unrevoke", "accept"]


def may(policies: PolicySet, right: Right, person: Principal, resource: JsonValue, now: datetime) -> Evaluation:
    """Whether `person` has this right over the call or session that `resource` describes (`entities.py`).

    Only `.decision` grants anything; `.reasons` are the `@id`s that granted or forbade it.
    """
    uid = resource["uid"]
    request = Request(person.id, right, (uid["type"], uid["id"]), json.dumps({"now": datetime_value(now)}))
    try:
        entities = policies.entities(resource, base=policies.identity(person))
    except ValueError:
        return Evaluation(decision=False, reasons=(), errors=(), refused=True)
    return policies.evaluate([request], entities)[0]
