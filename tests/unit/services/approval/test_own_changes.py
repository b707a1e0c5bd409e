"""Whose change of the arguments led to the question that a page shows."""

from datetime import timedelta

from approval_calls import START, amend, asked, person

from services.approval.pages.amended import first_asked, question_before_own_change


def test_a_question_that_came_of_ones_own_change_is_no_surprise() -> None:
    story = asked()
    before = story.call.open_question
    assert question_before_own_change(story.call, "fina") is None
    amend(story, person("fina", "finance"), START + timedelta(minutes=1))
    assert question_before_own_change(story.call, "fina") == before
    assert question_before_own_change(story.call, "finn") is None
    assert first_asked(story.call) == START
    amend(story, person("finn", "finance"), START + timedelta(minutes=2))
    assert question_before_own_change(story.call, "fina") is None, "somebody changed it since"


def test_nobody_changed_what_was_asked_twice() -> None:
    story = asked()
    assert first_asked(story.call) == START
    assert question_before_own_change(story.call, "bot") is None
