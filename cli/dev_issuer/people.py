"""The people and agents of the demo."""

from typing import Literal, NamedTuple


class Person(NamedTuple):
    """An identity that the development issuer gives out. `acts_for` names the users for whom an agent may act."""

    sub: str
    kind: Literal["agent", "user", "reviewer", "auditor"]
    groups: tuple[str, ...]
    about: str
    may: str
    """What the example policies let them do, in words."""
    acts_for: tuple[str, ...] = ()


DEMO_PEOPLE: tuple[Person, ...] = (
    Person(
        "support-bot",
        "agent",
        ("support-bots",),
        "the support team's agent",
        "Reads customers, asks for refunds and deployments",
        acts_for=("kim",),
    ),
    Person("kim", "user", ("support",), "a support clerk, on whose behalf the agent can act", "Decides nothing"),
    Person("rosa", "reviewer", ("sre",), "site reliability", "Decides on production; freezes anything"),
    Person(
        "sam",
        "reviewer",
        ("sre", "data-protection"),
        "site reliability and data protection",
        "Decides on production and bulk exports; freezes anything",
    ),
    Person("fay", "reviewer", ("finance",), "finance", "Decides on payments; freezes agents and payments"),
    Person("finn", "reviewer", ("finance",), "finance", "Decides on payments; freezes agents and payments"),
    Person("dora", "reviewer", ("data-protection",), "data protection", "Decides on bulk exports"),
    Person("ada", "auditor", ("auditors",), "auditor", "Decides nothing; reads what everybody did, over the API"),
)
