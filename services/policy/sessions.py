"""What a session did so far, counted from the subjects that stand on the log; asked only where a policy reads it."""

from nats.aio.client import Client

from callgate.log import reading
from contracts.subjects import CallRef, parse_call_subject, session_filter
from services.policy.domain import SessionFacts


class Sessions:
    """Counts by STREAM.INFO with a subject filter: one request, or one for each 100,000 subjects of the session."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def before(self, ref: CallRef) -> SessionFacts:
        """The session's other calls in this partition. BrokerAway."""
        found: dict[str, int] = {}
        wanted = session_filter(ref.partition, ref.session_id)
        while True:
            page, total = await reading.subjects(self._client, ref.partition.stream, wanted, len(found))
            found |= page
            if not page or len(found) >= total:
                return count(found, ref)


def count(subjects: dict[str, int], ref: CallRef) -> SessionFacts:
    """The facts from the subjects of a session; `ref` is the call at hand, which does not count."""
    calls: dict[str, set[str]] = {}
    for subject in subjects:
        try:
            other, event = parse_call_subject(subject)
        except ValueError:
            continue
        if other != ref:
            calls.setdefault(event, set()).add(other.call_id)
    return SessionFacts(
        calls=len(calls.get("requested", ())),
        executed=len(calls.get("execution_started", ())),
        denied=len(calls.get("denied", ())),
    )
