"""What is told by Teams and by mail: hostile names stay text on one line, limits hold, and nobody is told in vain."""

import json
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, cast

import pytest
from approval_calls import START, Story, amend, asked, lost, masked, person, requirement, run, settle
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from callgate.cedar.published import PublishedPolicies
from callgate.channel_settings import EmailSettings, MailList, TeamsSettings, require_receiver
from contracts.events import ApprovalExpired, Cancelled
from contracts.identity import Principal
from contracts.records import NoticeDue
from services.approval import mail, teams
from services.approval.channels import Unneeded, asked_in
from services.approval.words import Summary, summary

URL = "https://gate.example/"
LIST = MailList(name="finance", groups=("finance",), to=("finance@example.com",))
HOSTILE = (
    "x\r\nBcc: evil@example.com\r\n\r\n<script>alert(1)</script> **b** [a](https://evil.example) <at>all</at>\u202e"
)

HEADERS = ["Auto-Submitted", "Content-Type", "Date", "From", "In-Reply-To", "MIME-Version", "Message-ID"]
HEADERS += ["References", "Subject", "To", "X-Auto-Response-Suppress"]


def said(story: Story, kind: str = "approval_required", event_id: str | None = None, **reasons: str) -> Summary:
    question = asked_in(story.call)
    assert question is not None
    return summary(kind, story.call, event_id or question, reasons, URL)


def hostile_story(name: str) -> Story:
    requester = Principal(id=name, issuer="https://i.example", on_behalf_of=name)
    return asked(requirement(name, "finance"), requester=requester)


def test_a_question_in_plain_words() -> None:
    story = asked(requirement("finance", quorum=2))
    told = said(story, **{"large-refunds": "Two people decide."})
    assert (told.title, told.standing) == ("Approval needed: payments.refund", "Waiting: 2 approvals missing")
    assert told.facts == (
        ("Function", "payments.refund"),
        ("Asked by", "bot"),
        ("On behalf of", "rosa"),
        ("Needs", "2 of finance (2 missing)"),
        ("Expires", "2026-01-31 12:15 UTC"),
    )
    assert told.policies == ("large-refunds: Two people decide.",)
    assert (told.action, told.url) == ("Open the call", f"https://gate.example/approvals/{story.ref}")


def test_nobody_is_asked_about_what_was_decided_or_changed_meanwhile() -> None:
    story = asked()
    first = asked_in(story.call)
    amend(story, person("otto", "finance"))
    for kind in ("approval_required", "reminder", "escalated"):
        with pytest.raises(Unneeded):
            said(story, kind, first)
        said(story, kind)
    ending = story.add(ApprovalExpired(expired_at=START))
    for kind in ("approval_required", "reminder", "escalated"):
        with pytest.raises(Unneeded):
            said(story, kind)
    assert said(story, "approval_expired", ending.event.event_id).title == "Expired: payments.refund"
    with pytest.raises(Unneeded):
        said(story, "approval_expired", "0199aaaa-0000-7000-8000-000000000000")


@given(st.text(max_size=400) | st.just(HOSTILE))
def test_a_card_holds_what_others_wrote_as_runs_of_text_within_the_limit(name: str) -> None:
    try:
        story = hostile_story(name)
    except ValidationError:
        return  # no principal
    card = json.loads(teams.message(said(story, **{"large-refunds": name})))
    (attachment,) = card["attachments"]
    content = attachment["content"]
    assert {block["type"] for block in content["body"]} == {"RichTextBlock"}
    runs = [run for block in content["body"] for run in block["inlines"]]
    assert all(run.keys() <= {"type", "text", "size", "weight"} and run["type"] == "TextRun" for run in runs)
    assert not any(set(run["text"]) & set("\r\n\u202e\u2028") for run in runs)
    assert [action["url"] for action in content["actions"]] == [f"https://gate.example/approvals/{story.ref}"]
    assert "msteams" not in content  # where mentions would be declared


@given(st.text(max_size=400) | st.just(HOSTILE))
def test_a_mail_has_our_headers_alone_and_the_same_words_twice(name: str) -> None:
    try:
        story = hostile_story(name)
    except ValidationError:
        return
    told = said(story, **{"large-refunds": name})
    written = mail.message(told, "gate@example.com", LIST, START, "key-1", "key-0").as_bytes()
    assert written.isascii()
    read: Any = message_from_bytes(written, policy=policy.default)
    assert sorted(read.keys()) == HEADERS
    assert (read["To"], read["Message-ID"]) == ("finance@example.com", "<key-1.finance@example.com>")
    assert read["In-Reply-To"] == read["References"] == "<key-0.finance@example.com>"
    assert read["Subject"] == told.title
    text, html = (read.get_body((kind,)).get_content() for kind in ("plain", "html"))
    lines = text.splitlines()
    assert lines[0] == told.title
    assert all(f"{label}: {value}" in lines for label, value in told.facts)
    assert f"Open the call: {told.url}" in lines
    assert "<script" not in html
    assert html.count("<a ") == 1
    assert f"href='{told.url}'" in html


def test_one_message_begins_the_thread() -> None:
    written = mail.message(said(asked()), "gate@example.com", LIST, START, "key-0", "key-0")
    assert "In-Reply-To" not in written


@pytest.mark.parametrize(
    ("kind", "requester", "revoked", "told"),
    [
        ("approval_required", {}, "", ["finance", "Fina", "otto"]),
        ("approval_required", {"id": "corp:fina@example.com"}, "", ["finance", "otto"]),
        ("reminder", {"on_behalf_of": "corp:fina@example.com"}, "", ["finance", "otto"]),
        ("escalated", {"actors": ("corp:otto@example.com",)}, "", ["finance", "Fina"]),
        ("outcome_unknown", {"id": "corp:fina@example.com"}, "", ["finance", "otto"]),
        ("approved", {"id": "corp:fina@example.com"}, "", ["finance", "Fina", "otto"]),
        ("approved", {}, "corp:otto@example.com", ["finance", "Fina"]),
    ],
)
async def test_who_may_decide_nothing_is_left_out_of_a_list(
    kind: str, requester: dict[str, Any], revoked: str, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    story = asked(requester=Principal(**{"id": "bot", "issuer": "https://i.example", **requester}))
    sent: list[MailList] = []
    monkeypatch.setattr(mail, "deliver", lambda _settings, _written, to: sent.append(to))
    monkeypatch.setattr(mail, "summary", lambda *_: said(story))
    people = MailList(name="finance", groups=("finance",), to=tuple(f"{one}@example.com" for one in NAMES))
    sending = mail.Mail(
        email(lists=[people]),
        cast("PublishedPolicies", Policies()),
        lambda: START,
        URL,
        lambda address: [Principal(id=f"corp:{address}", issuer="https://i.example")],
        lambda person: person.id == revoked,
    )
    due = NoticeDue(endpoint="email-finance", call=str(story.ref), event_id=asked_in(story.call) or "", kind=kind)
    await sending.send(due, "key", story.call)
    sending.close()
    assert [one.to for one in sent] == [tuple(f"{one}@example.com" for one in told)]


NAMES = ("finance", "Fina", "otto")


async def test_a_list_of_nobody_who_may_decide_gets_nothing() -> None:
    story = asked(requester=Principal(id="finance@example.com", issuer="https://i.example"))
    sending = mail.Mail(
        email(),
        cast("PublishedPolicies", Policies()),
        lambda: START,
        URL,
        lambda address: [Principal(id=address, issuer="https://i.example")],
        lambda _: False,
    )
    question = asked_in(story.call) or ""
    due = NoticeDue(endpoint="email-finance", call=str(story.ref), event_id=question, kind="approval_required")
    with pytest.raises(Unneeded) as unneeded:
        await sending.send(due, "key", story.call)
    sending.close()
    assert unneeded.value.code == "nobody_to_tell"


class Policies:
    """None are in force."""

    current = None


def email(**more: Any) -> EmailSettings:
    given = {"host": "smtp.example.com", "sender": "gate@example.com", "lists": [LIST]}
    return EmailSettings.model_validate({**given, **more})


@pytest.mark.parametrize(
    "wrong",
    [
        {"tls": "none"},
        {"username": "u"},
        {"password_file": "p"},
        {"sender": "a@b\r\nBcc: c@d"},
        {"sender": "Gate <a@b.example>"},
        {"lists": [LIST, LIST]},
        {"lists": [{"name": "x", "groups": ["g"], "to": ["a@b.example,c@d.example"]}]},
        {"host": "127.0.0.1", "tls": "none", "ca_file": "x"},
        {"events": ["approval.nothing"]},
    ],
)
def test_mail_that_would_go_in_clear_or_to_nobody_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        email(**wrong)


def test_mail_in_clear_is_for_loopback() -> None:
    assert email(host="127.0.0.1", tls="none").tls == "none"
    assert email().tls == "starttls"
    assert email(username="u", password_file=Path("p")).port == 587


def test_a_receivers_address_is_https_and_no_error_quotes_it() -> None:
    for url in ("http://a.example/SECRET", "https://u:SECRET@a.example", "SECRET", "https://a.example/#SECRET"):
        with pytest.raises(ValueError, match="url") as refused:
            require_receiver(url, allow_private=False)
        assert "SECRET" not in str(refused.value)
    require_receiver("http://127.0.0.1/x", allow_private=True)


def test_two_channels_of_one_name_are_refused() -> None:
    channel = {"name": "finance", "groups": ["finance"], "url_file": "x"}
    with pytest.raises(ValidationError):
        TeamsSettings.model_validate({"channels": [channel, channel]})


def test_a_withdrawn_call_is_told_as_it_was_at_its_event() -> None:
    story = asked()
    ending = story.add(Cancelled(by=HOSTILE, code="withdrawn"))
    told = said(story, "cancelled", ending.event.event_id)
    assert told.title == "Cancelled: payments.refund"
    assert "\n" not in told.standing
    assert [name for name, _ in told.facts][-1] == "Needs"


def test_an_outcome_of_which_nobody_was_asked_is_told_until_it_is_settled() -> None:
    story = lost()
    unknown = story.call.chain[-1].event.event_id
    told = summary("outcome_unknown", story.call, unknown, {}, URL)
    assert told.title == "Outcome unknown: payments.refund"
    assert told.facts == (
        ("Function", "payments.refund"),
        ("Asked by", "bot"),
        ("On behalf of", "rosa"),
        ("Unknown since", "2026-01-31 12:00 UTC (timeout)"),
    )
    assert (told.action, told.url) == ("Settle it", f"https://gate.example/approvals/outcomes/{story.ref}")
    settled = settle(story, person("fina"), "run_again").event.event_id
    with pytest.raises(Unneeded) as unneeded:
        summary("outcome_unknown", story.call, unknown, {}, URL)
    assert unneeded.value.code == "settled_already"
    said = summary("outcome_settled", story.call, settled, {}, URL)
    assert (said.title, said.standing) == ("Settled: payments.refund", "Run again, says fina")

    again = run(story, attempt=2).event.event_id
    with pytest.raises(Unneeded):  # another outcome, of which another notice tells
        summary("outcome_unknown", story.call, unknown, {}, URL)
    assert summary("outcome_unknown", story.call, again, {}, URL).action == "Settle it"


def test_what_asks_nobody_and_is_known_is_told_to_nobody() -> None:
    story = masked()
    with pytest.raises(Unneeded):
        summary("cancelled", story.call, story.call.chain[-1].event.event_id, {}, URL)
