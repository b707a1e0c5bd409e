"""An executor with a log, a sealer and a runner in memory, and what others append around it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from memory_freezes import MemoryFreezes
from memory_log import NOW, RITA, Calls, Clock, MemoryLog, MemorySealer, delivery

from callgate.records import Records, Standing
from contracts.events import (
    EventData,
    OutcomeSettled,
    Proof,
    Recorded,
    Sealed,
)
from contracts.functions import Catalog, Credential, FunctionSpec, HttpConnection
from contracts.identity import Role
from contracts.records import RecordData, make_record
from contracts.subjects import CONTROL
from services.executor.credentials import CredentialHeader
from services.executor.grants import GrantChecks
from services.executor.handlers import Executor
from services.executor.http import HttpRunner
from services.executor.http_functions import HttpFunctions
from services.executor.outcomes import Completed, NotSent, Outcome
from services.executor.request import HttpRequest

SKEW = 2.0
TIMEOUT = 30.0
GRANTED = "c" * 64
OK = Completed(200, "application/json", b'{"ok":true}', False, 4.2)
TOKEN = "sesame-sesame"
AMOUNT = {"type": "object", "properties": {"amount": {"type": "number"}}}
CATALOG = Catalog(
    {
        "shop": HttpConnection(
            base_url="http://127.0.0.1:1",
            timeout=TIMEOUT,
            credential=Credential(env="SHOP"),
            functions={
                "pay": FunctionSpec(path="/pay", input=AMOUNT),
                "look": FunctionSpec(path="/look", input=AMOUNT, idempotent=True),
                "quick": FunctionSpec(path="/quick", input=AMOUNT, timeout=1.5),
            },
        )
    }
)


@dataclass
class Sent:
    request: HttpRequest
    key: str
    deadline: float
    credential: CredentialHeader | None


@dataclass
class Runner:
    """Answers with `outcomes` in order, the last one for ever; `meanwhile` happens while a request is under way."""

    journal: list[str]
    outcomes: list[Outcome] = field(default_factory=lambda: [OK])
    sent: list[Sent] = field(default_factory=list)
    meanwhile: Callable[[], Awaitable[Any]] | None = None

    async def run(
        self,
        request: HttpRequest,
        *,
        credential: CredentialHeader | None,
        idempotency_key: str,
        deadline_seconds: float,
        response_limit: int,
        traceparent: str | None = None,
    ) -> Outcome:
        if not deadline_seconds > 0:
            return NotSent("deadline_passed")
        self.journal.append("send")
        self.sent.append(Sent(request, idempotency_key, deadline_seconds, credential))
        if self.meanwhile is not None:
            waiting, self.meanwhile = self.meanwhile, None
            await waiting()
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


@dataclass
class Control:
    """CONTROL, as far as somebody looks for the first record of a subject."""

    stands: dict[str, Standing] = field(default_factory=dict)

    def put(self, subject: str, data: RecordData, sequence: int, at: datetime = NOW) -> None:
        record = make_record("r", "test", subject, at, data)
        self.stands[subject] = Standing(record, Role.APPROVAL, GRANTED, sequence)

    async def first(self, stream: str, subject: str) -> Standing | None:
        assert stream == CONTROL
        return self.stands.get(subject)


async def _nothing_new() -> None:
    """The catalog of these tests never changes."""


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.log = MemoryLog(self.clock)
        self.sealer = MemorySealer()
        self.runner = Runner(self.log.journal)
        self.freezes = MemoryFreezes()
        self.control = Control()
        self.environ = {"SHOP": TOKEN}
        self.catalog = CATALOG
        self.executor = self.replica()

    def replica(self, instance: str = "e1") -> Executor:
        return Executor(
            log=self.log,
            sealer=self.sealer.as_sealer,
            runners={"http": HttpFunctions(cast(HttpRunner, self.runner), self.environ)},
            catalog=self.catalog,
            keep_up=_nothing_new,
            instance=instance,
            freezes=self.freezes.as_book,
            grants=GrantChecks(cast(Records, self.control)),
            clock_skew=timedelta(seconds=SKEW),
            clock=self.clock,
        )

    def allowed(self, function: str = "shop.pay", arguments: bytes = b'{"amount":40}') -> Recorded:
        return Calls(self.log, self.sealer, function, arguments).allowed(CATALOG.digest_of(function))

    async def deliver(self, allowed: Recorded, number: int = 1, executor: Executor | None = None) -> float | None:
        """The seconds until it is to come again; None where it is done."""
        delivered = delivery(number)
        await (executor or self.executor).on_allowed(allowed, delivered)
        return delivered.later

    def settled(self, allowed: Recorded, outcome: str = "run_again") -> Recorded:
        """What a person says of an outcome that nobody knows."""
        digest = self.log.call(allowed.ref).head_digest
        proof = Proof(issuer=RITA.issuer, subject=RITA.id, digest=digest)
        reason = Sealed(key_id="k", nonce="n", ciphertext="c")
        data = {"by": RITA, "outcome": outcome, "reason": reason, "proof": proof}
        return self.log.put(allowed.ref, OutcomeSettled.model_validate(data))

    async def deliver_settled(
        self, settled: Recorded, number: int = 1, executor: Executor | None = None
    ) -> float | None:
        delivered = delivery(number)
        await (executor or self.executor).on_outcome_settled(settled, delivered)
        return delivered.later

    def after_allowed(self, allowed: Recorded) -> list[str]:
        names = self.log.names(allowed.ref)
        return names[names.index("allowed") + 1 :]

    def last(self, allowed: Recorded) -> EventData:
        head = self.log.call(allowed.ref).head
        assert head is not None
        return head.data
