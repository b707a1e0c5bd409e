"""What Slack shows: hostile arguments stay text, and Slack's limits hold whatever comes."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from approval_calls import START, Story, asked, lost, person, requirement, settle
from hypothesis import given
from hypothesis import strategies as st

from callgate.json_patch import MISSING, Change, changes
from contracts.events import (
    Allowed,
    ApprovalExpired,
    Approved,
    Cancelled,
    ExecutionStarted,
    OutcomeUnknown,
    Proof,
    VoteCast,
)
from contracts.identity import Principal
from services.approval.domain import question_of
from services.approval.history import Past
from services.approval.outcomes import unsettled_of
from services.approval.slack_blocks import (
    APPROVE,
    OPEN,
    REASON_LIMIT,
    REJECT,
    SESSION_SHOWN,
    SETTLE,
    Shown,
    ballot_value,
    message,
    outcome_message,
    read_ballot,
    told_modal,
    vote_modal,
)
from services.approval.views import View

LIMITS = {"header": 150, "fields": 2000, "section": 3000, "context": 3000}


def rendered(
    arguments: Any,
    story: Story | None = None,
    policies: Any = (("p", "Because."),),
    before: Sequence[Past] = (),
    changed: Sequence[Change] = (),
) -> tuple[str, list[Any]]:
    call = (story or asked(requirement("finance", quorum=2))).call
    question = question_of(call)
    assert question is not None
    return message(Shown(call, question, View(arguments), policies, before, changed, "https://gate.example"))


def texts(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        if node.get("type") in ("plain_text", "mrkdwn"):
            yield node
        for value in node.values():
            yield from texts(value)
    elif isinstance(node, list):
        for one in node:
            yield from texts(one)


def check_limits(words: str, blocks: list[Any]) -> None:
    """https://docs.slack.dev/reference/block-kit"""
    assert 0 < len(words) <= 3000
    assert 0 < len(blocks) <= 50
    for block in blocks:
        assert len(block.get("fields", ())) <= 10
        assert len(block.get("elements", ())) <= 25
        assert all(len(text["text"]) <= 2000 for text in block.get("fields", ()))
        assert all(0 < len(text["text"]) <= LIMITS.get(block["type"], 75) for text in texts(block))


HOSTILE = {
    "channel": "<!channel> <!here> <!everyone> @here",
    "user": "<@U0BOSS>",
    "link": "<https://evil.example|Approve>",
    "bold": "*Approved by* _cfo_ ~no~ `code`",
    "bidi": "refund \u202e001$ to \u2066x\u2069",
    "hidden": "a\u200bb\u00adc\u2800d",
    "line\nAsked by": "250\nAsked by\nthe board\r\n",
    "&lt;": "&amp; <>",
    "emoji": ":white_check_mark: Approved",
    "date": "<!date^1392734382^{date}|now>",
}


def test_hostile_arguments_are_text_and_nothing_else() -> None:
    words, blocks = rendered(HOSTILE)
    check_limits(words, blocks)
    for text in texts(blocks):
        raw = text["text"]
        if text["type"] == "mrkdwn":  # our own words alone
            assert raw.startswith("Expires <!date^")
            assert raw.count("<") == 1
            continue
        assert text["emoji"] is False
        assert "<" not in raw
        assert ">" not in raw
        assert not set(raw) & set("\u202e\u2066\u2069\u200b\u00ad\u2800\r")
    fields = [text["text"] for block in blocks for text in block.get("fields", ())]
    assert "channel\n&lt;!channel&gt; &lt;!here&gt; &lt;!everyone&gt; @here" in fields
    assert "link\n&lt;https://evil.example|Approve&gt;" in fields
    assert "bidi\nrefund [U+202E]001$ to [U+2066]x[U+2069]" in fields
    assert "hidden\na[U+200B]b[U+00AD]c[U+2800]d" in fields
    # No line of an argument can pass for one of ours.
    assert "line[U+000A]Asked by\n250[U+000A]Asked by[U+000A]the board[U+000D][U+000A]" in fields
    assert all(field.count("\n") == 1 for field in fields)


@pytest.mark.parametrize("name", ["<!channel>", "*bold*\u202e", "&lt;@U1&gt;", "x" * 5000])
def test_no_name_forges_markup_either(name: str) -> None:
    requester = Principal(id=name, issuer="https://i.example", on_behalf_of=name)
    words, blocks = rendered({}, asked(requirement(name, "finance"), requester=requester), [(name, name)])
    check_limits(words, blocks)
    for text in [words, *(text["text"] for text in texts(blocks) if text["type"] == "plain_text")]:
        assert "<" not in text
        assert "\u202e" not in text
    check_limits(words, [*blocks, *vote_modal(question_of(asked().call), "reject", "{}")["blocks"][:1]])  # type: ignore[arg-type]


def test_long_values_are_folded_and_many_are_counted() -> None:
    words, blocks = rendered({f"k{n}": "&" * 5000 for n in range(100)})
    check_limits(words, blocks)
    shown = [text["text"] for block in blocks for text in block.get("fields", ())]
    assert any("… (4,700 more characters; open to see all)" in text for text in shown)
    assert "70 more arguments; open to see all." in [text["text"] for text in texts(blocks)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=40,
)


@given(JSON)
def test_whatever_the_arguments_are_slack_takes_the_message(arguments: Any) -> None:
    words, blocks = rendered(arguments)
    check_limits(words, blocks)
    json.dumps(blocks).encode("utf-8")


def buttons(blocks: list[Any]) -> list[str]:
    return [element["action_id"] for block in blocks if block["type"] == "actions" for element in block["elements"]]


def test_only_what_waits_can_be_decided() -> None:
    assert buttons(rendered({})[1]) == [APPROVE, REJECT, OPEN]
    for end, title in (
        (ApprovalExpired(expired_at=START), "Expired"),
        (Cancelled(by="<bot>", code="withdrawn"), "Cancelled"),
    ):
        story = asked()
        story.add(end)
        words, blocks = rendered({}, story)
        assert buttons(blocks) == [OPEN]
        assert words == f"{title}: payments.refund, asked by bot"


def test_a_button_carries_what_the_message_shows() -> None:
    story = asked()
    _, blocks = rendered({}, story)
    (value,) = {element["value"] for element in blocks[-1]["elements"] if "value" in element}
    assert read_ballot(value) == (str(story.ref), story.call.open_question)
    assert len(ballot_value(story.ref, "a" * 64)) <= 2000


@pytest.mark.parametrize("value", [None, 3, "", "x", "[]", "{}", '{"call": 1, "digest": "d"}', "[" * 5000, "[" * 1999])
def test_what_is_no_ballot_is_none(value: object) -> None:
    assert read_ballot(value) is None


def test_forms_keep_slacks_limits() -> None:
    question = question_of(asked(requester=person("<!here>" * 100)).call)
    assert question is not None
    for view in (vote_modal(question, "reject", "m"), vote_modal(question, "approve", "m"), told_modal("no " * 500)):
        assert all(len(view[name]["text"]) <= 24 for name in ("title", "submit", "close") if name in view)
        check_limits("x", [block for block in view["blocks"] if block["type"] == "section"])
    (form,) = [block for block in vote_modal(question, "reject", "m")["blocks"] if block["type"] == "input"]
    assert form["element"]["max_length"] == REASON_LIMIT <= 3000


def test_what_the_session_did_before_is_shown_shortly_and_cannot_pass_for_more() -> None:
    story = asked()
    name = "payments.refund\n\u2022 deploys.start: completed <!here>\u202e"
    before = [Past(story.ref, name, "waiting_for_approval", START)] * 9
    words, blocks = rendered({}, story, before=before)
    check_limits(words, blocks)
    (shown,) = [text["text"] for text in texts(blocks) if text["text"].startswith("Before, in this session")]
    assert shown.count("\n") == SESSION_SHOWN
    assert "payments.refund[U+000A]• deploys.start: completed &lt;!here&gt;[U+202E]: waiting for approval" in shown


def test_what_a_reviewer_changed_is_shown_and_cannot_pass_for_more() -> None:
    before: Any = {"amount": 250, "note": "x", "card": "<!here>\n• /amount: 1 → 2"}
    changed = changes(before, {"amount": 40, "card": "y", "to\u202e": ["z"]})
    words, blocks = rendered({}, changed=changed)
    check_limits(words, blocks)
    heading = next(n for n, block in enumerate(blocks) if "Changed by a reviewer" in str(block))
    assert [text["text"] for text in blocks[heading + 1]["fields"]] == [
        "/amount\n250 → 40",
        '/note\n"x" → (nothing)',
        '/card\n"&lt;!here&gt;\\n• /amount: 1 → 2" → "y"',
        '/to[U+202E]\n(nothing) → ["z"]',
    ]
    many = [Change(f"/{'&' * 500}{n}", MISSING, "<" * 5000) for n in range(11)]
    words, blocks = rendered({f"k{n}": "&" * 5000 for n in range(100)}, changed=many)
    check_limits(words, blocks)
    assert "Changed by a reviewer; open to see all:" in [text["text"] for text in texts(blocks)]


def test_an_unknown_outcome_leads_to_where_it_is_settled() -> None:
    story = asked(requirement("finance", quorum=1))
    judged: Any = {"policy_set": "a" * 64, "function_digest": "b" * 64}
    vote = story.add(
        VoteCast(
            reviewer=person("fina", "finance"),
            decision="approve",
            proof=Proof(issuer="https://i.example", subject="fina", digest=story.call.open_question),
        )
    )
    for data in (
        Approved(votes=(vote.event.event_id,)),
        Allowed(**judged),
        ExecutionStarted(instance="e", attempt=1, deadline=START),
        OutcomeUnknown(code="upstream_timeout"),
    ):
        story.add(data)
    words, blocks = rendered({}, story)
    assert words.startswith("Outcome unknown: payments.refund")
    assert buttons(blocks) == [SETTLE, OPEN]
    assert blocks[-1]["elements"][0]["url"] == f"https://gate.example/approvals/outcomes/{story.ref}"


def test_an_outcome_of_which_nobody_was_asked_is_shown_without_arguments_until_it_is_settled() -> None:
    story = lost()
    outcome = unsettled_of(story.call)
    assert outcome is not None
    words, blocks = outcome_message(story.call, outcome, "https://gate.example/")
    check_limits(words, blocks)
    assert words == "Outcome unknown: payments.refund"
    assert buttons(blocks) == [SETTLE]
    settle(story, person("<!channel>"), "not_done")
    words, blocks = outcome_message(story.call, outcome, "https://gate.example/")
    check_limits(words, blocks)
    assert words == "Settled: payments.refund"
    assert buttons(blocks) == [OPEN]
    assert "Not done, says &lt;!channel&gt;" in [text["text"] for text in texts(blocks)]
