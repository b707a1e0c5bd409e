"""What a state may be called, and sessions by the names that agents gave them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from callgate.errors import ConfigurationError
from callgate.identity.settings import IssuerSettings
from callgate.ids import name_session
from callgate.settings import IdentitySettings, Settings
from cli.session_names import issuers_of, one_session, session_ids
from contracts.identity import Principal
from contracts.lifecycle import STATUS_OF
from services.audit import tables
from services.audit.app import open_store
from services.audit.queries import STATES, WORDS, SessionFilter, find_sessions, sessions_named, states_of
from services.audit.store import Store

ISSUER = "https://id.example"


def test_a_word_is_an_event_or_a_status() -> None:
    assert states_of("denied") == {"denied"}
    assert states_of("completed") == {"result_masked"}
    assert states_of("waiting_for_approval") == {"approval_required", "vote_cast"}
    assert states_of("result_masked") == {"result_masked"}
    assert states_of("outcome_settled") == {"outcome_settled"}
    assert "outcome_settled" not in states_of("running")
    assert not states_of("nonsense")


def test_every_state_has_a_status_and_every_word_means_something() -> None:
    assert set(STATUS_OF) == STATES
    assert all(states_of(word) for word in WORDS)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    issuer = IssuerSettings(issuer=ISSUER, audience="callgate")
    return Settings(state=tmp_path, identity=IdentitySettings(issuers=(issuer,)))


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    store = open_store(settings)
    store.prepare(["1-0"])
    yield store
    store.close()


def named(store: Store, name: str, agent: str, user: str | None = None, issuer: str = ISSUER) -> str:
    """A session in the projection to which its agent gave a name."""
    session_id = name_session(Principal(id=agent, issuer=issuer, on_behalf_of=user).session_owner, name)
    at = f"2026-01-31T12:00:00.{len(agent):06}Z"
    row: dict[str, Any] = {"session_id": session_id, "principal": agent, "on_behalf_of": user, "calls": 1}
    with store._engine.begin() as connection:
        connection.execute(insert(tables.sessions).values(began_at=at, last_at=at, **row))
    return session_id


def test_a_session_is_found_by_its_name(store: Store, settings: Settings) -> None:
    mine = named(store, "w1", "bot")
    for_kim = named(store, "w1", "desk", "kim")
    named(store, "w2", "bot")
    named(store, "w1", "other-bot", issuer="https://elsewhere.example")
    assert [row["session_id"] for row in sessions_named(store, "w1", [ISSUER])] == [mine, for_kim]
    assert session_ids(settings, "w1") == (mine, for_kim)
    assert [row["session_id"] for row in find_sessions(store, SessionFilter(ids=(for_kim,)), None, 9)] == [for_kim]


def test_an_id_is_itself_and_a_name_is_one_or_refused(store: Store, settings: Settings) -> None:
    only = named(store, "alone", "bot")
    assert one_session(settings, only) == only
    assert one_session(settings, "alone") == only
    several = [named(store, "w1", "bot"), named(store, "w1", "bot", "kim")]
    with pytest.raises(ConfigurationError, match="several agents") as refused:
        one_session(settings, "w1")
    assert all(one in refused.value.detail for one in several)
    with pytest.raises(ConfigurationError, match="no agent of the configured issuers"):
        one_session(settings, "w3")


def test_the_issuer_that_up_starts_counts_too() -> None:
    settings = Settings.model_validate({"development": {"issuer": "localhost:8082"}})
    assert issuers_of(settings) == ("http://127.0.0.1:8082",)
