"""Verification of the log, pure: fed with what stands on the streams, in order, it says what does not hold.

Two kinds of findings. A *failure* means that the log is not what the services wrote: a missing sequence, an event
whose predecessor is not there or not as it was, an event on the head of a chain that may not stand there although a
service's key signed it. An *alien* is a message that is no part of any chain and harms none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from contracts.events import Recorded
from contracts.lifecycle import Call, IllegalTransition
from contracts.subjects import CallRef, Partition, parse_call_subject
from services.audit.slim import without_payloads

LISTED = 1000
"""How many findings of a kind a report lists; it counts them all."""
_SUSPECTS = 65_536

_LATE = "expired"
"""The fold's code for a vote that met its expiry on the way: nobody's fault, so an alien and no failure."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold, and where. `sequence` 0 speaks of the stream itself."""

    stream: str
    sequence: int
    subject: str
    code: str

    def __str__(self) -> str:
        place = f"{self.stream} #{self.sequence}" if self.sequence else self.stream
        return " ".join(part for part in (place, self.subject, self.code) if part)


@dataclass(frozen=True, slots=True)
class Report:
    """What verification found. `first_failure` is the earliest message that is not as it was written."""

    events: int
    """Messages on CALLS whose signature, role, key, subject and ids verify."""
    calls: int
    """Calls whose chain began."""
    complete: int
    """Of these, how many reached a terminal event."""
    aliens: int
    failures: int
    first_failure: Finding | None
    listed_failures: tuple[Finding, ...]
    listed_aliens: tuple[Finding, ...]
    deviations: tuple[Finding, ...]
    """Settings of streams that would let an event be lost; `code` names the setting."""

    @property
    def intact(self) -> bool:
        """Whether every chain and every sequence is as it was written. Aliens are no part of that."""
        return not self.failures and not self.deviations

    def passes(self, *, strict: bool = False) -> bool:
        return self.intact and not (strict and self.aliens)


@dataclass(slots=True)
class _Open:
    """A call that is not over: its chain, and the digests of all that verified on its subjects."""

    call: Call
    digests: set[str] = field(default_factory=set)
    broken: bool = False


class Verification:
    """Feed it stream by stream, each in the order of its sequences. Memory: open calls, and 16 bytes a finished one.

    `genesis` maps each partition to the digest of its genesis record.
    """

    def __init__(self, genesis: Mapping[Partition, str]) -> None:
        self._genesis = genesis
        self._open: dict[CallRef, _Open] = {}
        self._over: set[bytes] = set()
        self._suspects: dict[CallRef, Finding] = {}
        self._failures: list[Finding] = []
        self._aliens: list[Finding] = []
        self._deviations: list[Finding] = []
        self._events = self._calls = self._alien_count = self._failure_count = 0

    def event(self, recorded: Recorded) -> Call | None:
        """A message on CALLS that verifies by itself; here it is judged whether its place in the chain does.

        The call after it, without large payloads; None where it is no part of the chain.
        """
        self._events += 1
        if _key(recorded.ref) in self._over:
            self._alien(_finding(recorded, "call_is_over"))
            return None
        held = self._open.get(recorded.ref)
        if held is None:
            genesis = self._genesis.get(recorded.ref.partition, "")
            held = self._open[recorded.ref] = _Open(Call(recorded.ref, genesis), {genesis})
        placed = None
        try:
            placed = held.call = held.call.apply(without_payloads(recorded))
        except IllegalTransition as refused:
            self._refused(held, recorded, refused.code)
        else:
            self._calls += len(held.call.chain) == 1
            self._suspects.pop(recorded.ref, None)  # the chain went past them
        held.digests.add(recorded.digest)
        if held.call.is_terminal and not held.broken:
            self._over.add(_key(recorded.ref))
            self._open.pop(recorded.ref)
        return placed

    def unproven(self, recorded: Recorded, code: str) -> None:
        """An event of a chain that says what other records do not prove, although a service's key signed it."""
        self._fail(_finding(recorded, code))

    def alien(self, stream: str, sequence: int, subject: str, code: str) -> None:
        """A message that does not verify by itself. Harmless, unless a later event turns out to follow it."""
        found = Finding(stream, sequence, subject, code)
        self._alien(found)
        try:
            ref, _ = parse_call_subject(subject)
        except ValueError:
            return
        if len(self._suspects) < _SUSPECTS and _key(ref) not in self._over:
            self._suspects.setdefault(ref, found)

    def missing(self, stream: str, first: int, last: int) -> None:
        """No message stands at these sequences, though nothing may ever be deleted."""
        self._fail(Finding(stream, first, "", "missing" if first == last else f"missing_{last - first + 1}_messages"))

    def fails(self, stream: str, code: str) -> None:
        """The stream as a whole cannot be relied on."""
        self._fail(Finding(stream, 0, "", code))

    def deviates(self, stream: str, setting: str) -> None:
        self._deviations.append(Finding(stream, 0, "", setting))

    def report(self) -> Report:
        """What was found so far."""
        return Report(
            events=self._events,
            calls=self._calls,
            complete=len(self._over),
            aliens=self._alien_count,
            failures=self._failure_count,
            first_failure=self._failures[0] if self._failures else None,
            listed_failures=tuple(self._failures),
            listed_aliens=tuple(self._aliens),
            deviations=tuple(self._deviations),
        )

    def _refused(self, held: _Open, recorded: Recorded, code: str) -> None:
        follows = recorded.event.follows
        if held.broken or code == _LATE:
            self._alien(_finding(recorded, code))
        elif follows == held.call.head_digest:
            # A service's key signed what must not follow here; nobody else can name the head of a chain.
            self._break(held, _finding(recorded, code))
        elif follows not in held.digests:
            # What it follows is gone or changed. The message that takes its place is the first that fails.
            self._break(held, self._suspects.get(recorded.ref) or _finding(recorded, "broken_link"))
        else:
            self._alien(
                _finding(recorded, code)
            )  # a repetition, or the loser of a race written past the broker's check

    def _break(self, held: _Open, found: Finding) -> None:
        held.broken = True
        self._fail(found)

    def _fail(self, found: Finding) -> None:
        self._failure_count += 1
        if len(self._failures) < LISTED:
            self._failures.append(found)

    def _alien(self, found: Finding) -> None:
        self._alien_count += 1
        if len(self._aliens) < LISTED:
            self._aliens.append(found)


def _finding(recorded: Recorded, code: str) -> Finding:
    return Finding(recorded.ref.partition.stream, recorded.sequence, recorded.ref.subject(recorded.name), code)


def _key(ref: CallRef) -> bytes:
    """A call in 16 bytes. Call ids are unique to honest ingress only, so session and partition are part of it."""
    return blake2b(str(ref).encode(), digest_size=16).digest()
