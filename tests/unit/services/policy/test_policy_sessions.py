"""What a session did, from the subjects that stand on the log."""

import json
from typing import Any, cast

import pytest
from memory_log import AGENT, new_ref
from nats.aio.client import Client
from nats.errors import NoRespondersError

from callgate.errors import BrokerAway
from callgate.ids import mint_session, uuid7
from contracts.subjects import CallRef, Partition
from services.policy.domain import SessionFacts
from services.policy.sessions import Sessions, count

REF = new_ref()


def other() -> CallRef:
    return CallRef(REF.partition, REF.session_id, uuid7())


def subjects(*calls: tuple[CallRef, tuple[str, ...]]) -> dict[str, int]:
    return {ref.subject(event): 1 for ref, events in calls for event in events}


def test_an_empty_session() -> None:
    assert count({}, REF) == SessionFacts()


def test_the_call_at_hand_does_not_count() -> None:
    assert count(subjects((REF, ("requested", "arguments_masked"))), REF) == SessionFacts()


def test_each_call_counts_once_for_what_it_came_to() -> None:
    done = ("requested", "arguments_masked", "allowed", "execution_started", "execution_completed", "result_masked")
    stood = subjects((other(), done), (other(), done), (other(), ("requested", "denied")), (other(), ("requested",)))
    stood = dict.fromkeys(stood, 3)  # a start may stand more than once, aliens too
    assert count(stood, REF) == SessionFacts(calls=4, executed=2, denied=1)


def test_strange_subjects_do_not_count() -> None:
    strange = f"calls.{REF.partition}.{REF.session_id}.nobody.requested"
    assert count({strange: 1, "": 1, "other.x": 1}, REF) == SessionFacts()


class Broker:
    """Answers requests to the JetStream API."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def request(self, subject: str, payload: bytes, timeout: float) -> Any:  # noqa: ASYNC109
        self.asked.append((subject, json.loads(payload)))
        answer = self.answers.pop(0)
        if answer is None:
            raise NoRespondersError
        return type("Reply", (), {"data": json.dumps(answer).encode()})


def sessions(broker: Broker) -> Sessions:
    return Sessions(cast(Client, broker))


async def test_one_request_for_the_sessions_own_subjects() -> None:
    broker = Broker({"state": {"subjects": subjects((other(), ("requested",)))}})
    assert await sessions(broker).before(REF) == SessionFacts(calls=1)
    ((subject, request),) = broker.asked
    assert subject == f"$JS.API.STREAM.INFO.{REF.partition.stream}"
    assert request["subjects_filter"] == f"calls.{REF.partition}.{REF.session_id}.>"


@pytest.mark.parametrize("answer", [None, {"error": {"code": 503, "description": "no leader"}}])
async def test_a_session_that_cannot_be_read_is_no_empty_one(answer: dict[str, Any] | None) -> None:
    with pytest.raises(BrokerAway):
        await sessions(Broker(answer)).before(REF)


async def test_a_stream_without_subjects_of_the_session() -> None:
    assert await sessions(Broker({"state": {}})).before(REF) == SessionFacts()


async def test_another_partition_is_another_stream() -> None:
    broker = Broker({"state": {}})
    await sessions(broker).before(CallRef(Partition(2, 1), mint_session(AGENT.session_owner), uuid7()))
    assert broker.asked[0][0].endswith(".CALLS_2_1")


async def test_a_session_longer_than_a_page_is_counted_whole() -> None:
    """The broker tells of 100,000 subjects at a time; what a policy limits must not be undercounted by that."""
    pages = [subjects((other(), ("requested", "execution_started"))), subjects((other(), ("requested",)))]
    broker = Broker(*({"state": {"subjects": page}, "total": 3} for page in pages))
    assert await sessions(broker).before(REF) == SessionFacts(calls=2, executed=1)
    assert [request["offset"] for _, request in broker.asked] == [0, 2]
