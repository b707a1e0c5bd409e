"""What verification says about whole, damaged and polluted streams."""

from chains import GENESIS, JUDGED, PARTITION, START, STEPS, Stream, elsewhere
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.events import Allowed, ApprovalRequired, Proof, Recorded, Requirement, VoteCast
from contracts.identity import Principal
from services.audit.domain import LISTED, Finding, Report, Verification

STREAM = PARTITION.stream


def verified(*messages: Recorded | Finding) -> Report:
    """`Finding`s stand for messages that do not verify by themselves."""
    verification = Verification({PARTITION: GENESIS})
    for message in messages:
        if isinstance(message, Finding):
            verification.alien(message.stream, message.sequence, message.subject, message.code)
        else:
            verification.event(message)
    return verification.report()


def spoilt(recorded: Recorded) -> Finding:
    """That message with a byte changed."""
    return Finding(STREAM, recorded.sequence, recorded.ref.subject(recorded.name), "bad_signature")


def test_a_whole_log_is_counted() -> None:
    stream = Stream()
    stream.call()
    stream.call(STEPS[:3])
    report = verified(*stream.messages)
    assert (report.events, report.calls, report.complete, report.aliens, report.failures) == (9, 2, 1, 0, 0)
    assert report.intact
    assert report.passes(strict=True)


def test_an_empty_log_is_whole() -> None:
    assert verified().passes(strict=True)


@given(st.integers(min_value=0, max_value=len(STEPS) - 2))
def test_a_changed_message_is_the_first_that_fails(position: int) -> None:
    stream = Stream()
    chain = stream.call()
    messages: list[Recorded | Finding] = list(chain)
    messages[position] = spoilt(chain[position])
    report = verified(*messages)
    assert not report.intact
    assert report.first_failure == spoilt(chain[position])
    assert report.complete == 0


@given(st.integers(min_value=0, max_value=len(STEPS) - 2))
def test_a_message_that_was_cut_out_breaks_the_link(position: int) -> None:
    chain = Stream().call()
    successor = chain[position + 1]
    report = verified(*chain[:position], *chain[position + 1 :])
    assert report.first_failure == Finding(
        STREAM, successor.sequence, successor.ref.subject(successor.name), "broken_link"
    )
    assert not report.passes()


def test_a_gap_fails_and_comes_before_what_it_breaks() -> None:
    chain = Stream().call()
    verification = Verification({PARTITION: GENESIS})
    verification.event(chain[0])
    verification.missing(STREAM, 2, 2)
    verification.event(chain[2])
    assert verification.report().first_failure == Finding(STREAM, 2, "", "missing")
    assert verification.report().failures == 2


def test_repeated_messages_are_aliens_and_harm_nothing() -> None:
    stream = Stream()
    chain = stream.call(STEPS[:4])
    stream.repeat(chain[1])
    stream.write(chain[0].ref, STEPS[4], chain[3].digest)
    stream.repeat(chain[0])
    report = verified(*stream.messages)
    assert (report.aliens, report.failures) == (2, 0)
    assert report.passes()
    assert not report.passes(strict=True)


def test_what_follows_a_finished_call_is_alien() -> None:
    stream = Stream()
    chain = stream.call()
    stream.write(chain[0].ref, STEPS[1], chain[-1].digest)
    report = verified(*stream.messages)
    assert [found.code for found in report.listed_aliens] == ["call_is_over"]
    assert report.intact
    assert report.complete == 1


def test_a_signed_event_that_may_not_stand_on_the_head_fails() -> None:
    stream = Stream()
    chain = stream.call(STEPS[:1])
    forged = stream.write(chain[0].ref, Allowed(**JUDGED), chain[0].digest)
    report = verified(*stream.messages)
    assert report.first_failure == Finding(STREAM, forged.sequence, forged.ref.subject("allowed"), "illegal_transition")


def test_a_chain_of_another_partition_or_deployment_fails_at_its_first_event() -> None:
    copied = Stream(genesis="f" * 64).call()
    report = verified(*copied)
    assert report.first_failure is not None
    assert (report.first_failure.sequence, report.first_failure.code) == (1, "broken_link")
    assert (report.calls, report.complete) == (0, 0)


def test_an_event_copied_from_another_call_fails() -> None:
    stream = Stream()
    chain = stream.call(STEPS[:2])
    stream.write(chain[0].ref, Allowed(**JUDGED), elsewhere(chain[1].digest))
    report = verified(*stream.messages)
    assert report.first_failure is not None
    assert report.first_failure.code == "broken_link"


def test_a_vote_that_came_too_late_is_nobodys_fault() -> None:
    stream = Stream()
    required = ApprovalRequired(
        **JUDGED,
        requirements=(Requirement(policies=("p",), approvers=("sre",), quorum=1, expires_at=START),),
    )
    chain = stream.call((*STEPS[:2], required))
    reviewer = Principal(id="rita", issuer="https://issuer.example", groups=("sre",))
    proof = Proof(issuer=reviewer.issuer, subject=reviewer.id, digest=chain[-1].digest)
    stream.write(chain[0].ref, VoteCast(reviewer=reviewer, decision="approve", proof=proof), chain[-1].digest)
    report = verified(*stream.messages)
    assert report.intact
    assert [found.code for found in report.listed_aliens] == ["expired"]


def test_messages_that_never_verified_are_aliens_only() -> None:
    stream = Stream()
    chain = stream.call(STEPS[:3])
    noise = Finding(STREAM, 9, chain[0].ref.subject("allowed"), "unsigned")
    strange = Finding(STREAM, 10, "calls.nothing", "strange_subject")
    rest = [stream.write(chain[0].ref, STEPS[3], chain[2].digest)]
    report = verified(*chain, noise, strange, *rest)
    assert report.intact
    assert report.listed_aliens == (noise, strange)


def test_a_stream_whose_settings_lose_events_is_not_safe() -> None:
    verification = Verification({PARTITION: GENESIS})
    verification.deviates(STREAM, "max_age")
    report = verification.report()
    assert report.first_failure is None
    assert not report.passes()


def test_lists_are_bounded_and_counts_are_not() -> None:
    verification = Verification({PARTITION: GENESIS})
    for sequence in range(LISTED + 5):
        verification.alien(STREAM, sequence + 1, "calls.nothing", "strange_subject")
    report = verification.report()
    assert report.aliens == LISTED + 5
    assert len(report.listed_aliens) == LISTED


@settings(max_examples=60)
@given(st.data())
def test_aliens_sprinkled_anywhere_never_change_the_chains(data: st.DataObject) -> None:
    stream = Stream()
    messages: list[Recorded | Finding] = []
    for recorded in stream.call():
        messages.append(recorded)
        for _ in range(data.draw(st.integers(0, 2))):
            earlier = data.draw(st.sampled_from([m for m in messages if isinstance(m, Recorded)]))
            messages.append(data.draw(st.sampled_from([earlier, spoilt(earlier)])))
    report = verified(*messages)
    assert report.intact
    assert report.complete == 1
    assert report.aliens == len(messages) - len(STEPS)


def test_finished_calls_are_forgotten_but_for_a_few_bytes() -> None:
    stream = Stream()
    for _ in range(50):
        stream.call()
    verification = Verification({PARTITION: GENESIS})
    for message in stream.messages:
        verification.event(message)
    assert not verification._open
    assert {len(key) for key in verification._over} == {16}
