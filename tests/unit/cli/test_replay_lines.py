"""A replayed call as an auditor reads it in a terminal."""

from cli.replay_lines import replay_lines
from contracts.events import Allowed, GrantUse
from services.audit.views import Replayed, Step
from tests.memory_log import Calls, MemoryLog, MemorySealer


def test_a_call_that_a_grant_let_through_names_the_grant() -> None:
    calls = Calls(MemoryLog(), MemorySealer())
    ref = calls.masked().ref
    use = GrantUse(grant_id="01990000-0000-7000-8000-000000000002", granted="c" * 64, number=2)
    calls.log.put(ref, Allowed(policy_set="a" * 64, function_digest="b" * 64, policies=("large",), grant=use))
    call = calls.log.call(ref)
    told = list(replay_lines(Replayed(call, tuple(map(Step, call.chain)), ())))
    assert told[3].endswith("by large, approved in advance by use 2 of grant 01990000-0000-7000-8000-000000000002")


def test_a_call_that_policy_allowed_by_itself_names_no_grant() -> None:
    calls = Calls(MemoryLog(), MemorySealer())
    call = calls.log.call(calls.allowed("b" * 64).ref)
    told = list(replay_lines(Replayed(call, tuple(map(Step, call.chain)), ())))
    assert told[3].endswith("by no policy")
