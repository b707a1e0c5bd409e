"""The people and agents of the demo."""

from typing import Literal, NamedTuple


class Person(NamedTuple):
    """An identity that the development issuer gives out. `acts_for` names the users for whom an agent may act."""

    sub: str
    kind: Literal["agent", "user", "reviewer", "auditor"]
    groups: tuple[str, ...]
    about: str
    acts_for: tuple[str, ...] = ()


DEMO_PEOPLE: tuple[Person, ...] = (
    Person("support-bot", "agent", ("support-bots",), "the support team's agent", acts_for=("kim",)),
    Person("kim", "user", ("support",), "a support clerk, on whose behalf the agent can act"),
    Person("rosa", "reviewer", ("sre",), "site reliability"),
    Person("sam", "reviewer", ("sre", "data-protection"), "site reliability and data protection"),
    Person("fay", "reviewer", ("finance",), "finance"),
    Person("finn", "reviewer", ("finance",), "finance"),
    Person("dora", "reviewer", ("data-protection",), "data protection"),
    Person("ada", "auditor", ("auditors",), "auditor"),
)
