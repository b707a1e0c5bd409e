"""Cedar says what is wrong with a policy; this is where."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callgate.cedar.policies import InvalidPolicies, PolicySet
from callgate.cedar.syntax import stumble

GOOD = '@id("fine")\npermit (principal, action, resource);\n'


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ('@id("a")\npermit (principal, action resource);', "2:27", "unexpected token `resource`"),
        ('@id("a")\npermit (principal, action, resource)\nwhen { true && };', "3:16", "unexpected token `}`"),
        ('@id("a")\npermit (principal, action, resource)\nwhen { 1 < "2 };\n', "3:12", "invalid token"),
        ('@id("a")\npermit (principal, action, resource)', "2:37", "unexpected end of input"),
        ('@id("a") permit (principal, action, resource) when { x(1) };', "1:54", "`x` is not a valid function"),
        ('@id("a") permit (principal, action, resource) when { 1 = 1 };', "1:56", "'=' is not a valid operator"),
        ('@id("a") permit (principal, action, resource) when { (1 + ) && true } unless { 3 };', "1:59", "`)`"),
        ('@id("a") permit (principal, action, resource) when { [1,,2] };', "1:57", "`,`"),
        ('@id("a") permit (principal, action, resource) when { context.a. == 2 };', "1:65", "`==`"),
        ('@id("a") permit (principal, action, resource) when ;', "1:52", "unexpected token `;`"),
        ('@id("a") permit (principal, action, resource) when { 1 # 1 };', "1:56", "invalid token"),
        ('// "; a comment\n@id("a") allow (principal, action, resource);', "2:10", "allow"),
    ],
)
def test_what_does_not_parse_names_file_line_and_column(text: str, place: str, says: str) -> None:
    with pytest.raises(InvalidPolicies) as refused:
        PolicySet.load({"a.cedar": text}, {})
    assert str(refused.value.problems[0]).startswith(f"a.cedar:{place} does not parse: ")
    assert says in refused.value.detail


def test_the_first_that_does_not_parse_is_named_among_others() -> None:
    with pytest.raises(InvalidPolicies, match=r"a\.cedar:3:38 does not parse: unexpected token"):
        PolicySet.load({"a.cedar": GOOD + '@id("b") permit (principal, action in, resource);'}, {})


def test_a_word_that_stands_there_twice_names_the_policys_line_only() -> None:
    text = '@id("a")\npermit (principal, action, resource)\nwhen { x(1) || x(2) };'
    with pytest.raises(InvalidPolicies, match=r"a\.cedar:1 does not parse: `x` is not a valid function"):
        PolicySet.load({"a.cedar": text}, {})


@given(st.text(alphabet='permit(pal,con)=&|"\\;/ \n`é', max_size=60))
def test_a_stumble_is_within_the_text(text: str) -> None:
    found = stumble(text)
    assert found is None or found.offset is None or 0 <= found.offset <= len(text)


@pytest.mark.parametrize("cut", range(1, len(GOOD) - 2))
def test_a_policy_that_ends_too_soon_stumbles_at_its_end(cut: int) -> None:
    text = GOOD[:cut].rstrip()
    found = stumble(text)
    assert found is not None
    assert found.offset is not None
