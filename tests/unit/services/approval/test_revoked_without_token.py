"""Whom a revocation ends where nobody shows a token: in Slack, and on lists of mail."""

from datetime import UTC, datetime, timedelta

import pytest

from callgate.identity.settings import IssuerSettings
from contracts.events import Sealed
from contracts.identity import Principal
from contracts.records import Record, Revoked
from contracts.revocations import Revocations
from contracts.subjects import revocation_subject
from services.approval.telling import at_any_issuer, identities_at

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
ISSUERS = [IssuerSettings(issuer="https://i.example", audience="callgate", subject_prefix="corp:")]
FINA = "corp:fina@example.com"


def ended_by(issued_before: datetime | None) -> bool:
    """Whether such a revocation of Fina, a second ago, ends her in Slack; by mail it must be the same."""
    reason = Sealed(key_id="key-of-nobody", nonce="bm9uY2U=", ciphertext="Y2lwaGVydGV4dA==")
    rosa = Principal(id="rosa", issuer="https://i.example")
    data = Revoked(
        revocation_id="0199a0c6-0000-7000-8000-000000000001",
        scope="subject",
        target=FINA,
        issued_before=issued_before,
        by=rosa,
        reason=reason,
    )
    revocations = Revocations()
    subject = revocation_subject(data.revocation_id)
    at = NOW - timedelta(seconds=1)
    revocations.apply(Record(record_id=data.revocation_id, deployment="here", subject=subject, at=at, data=data))

    def ended(person: Principal) -> bool:
        assert person.authenticated_at is not None
        return revocations.ending(person, person.authenticated_at, NOW) is not None

    in_slack = Principal(id=FINA, issuer="https://slack.com/api/T1", authenticated_at=NOW)
    (by_mail,) = identities_at(ISSUERS)("fina@example.com")
    answers = {at_any_issuer(ISSUERS, ended)(in_slack), ended(by_mail)}
    (answer,) = answers
    return answer


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(seconds=30)])
def test_a_revocation_of_the_tokens_so_far_ends_nobody_who_shows_none(ahead: timedelta) -> None:
    """Though it counts for what an issuer whose clock is ahead issues in the next seconds."""
    assert not ended_by(NOW + ahead)


def test_a_subjects_revocation_counts_there_too() -> None:
    assert ended_by(None)
