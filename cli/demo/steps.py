"""The seven steps. Each tells what it does, and checks every claim against what really came."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from callgate.platform import open_platform
from callgate.settings import Settings
from cli.demo.stage import TOOL, Cast
from cli.demo.telling import Story
from contracts.identity import Role
from examples.demo_agent import Answer, Document, Reviewer
from examples.mcp_server import CARD as NOTED_CARD
from services.audit.verifying import verify_log

T = TypeVar("T")

CARD = "5555555555554444"
"""The raw card number of the refund: a test number of the card industry, valid by Luhn."""
CUSTOMER = "c42"
CALLER = "c-1002"
"""A customer of the notes, in whom a card number stands."""
NEVER_ACCEPTED = "notes.delete_notes"
REASON = "5,000 customers is more than the ticket needs; export the 12 affected ones"

DEPLOYMENT = {"service": "web", "environment": "production", "version": "1.2.3"}
_LOOK_AGAIN = 0.05
_RUN = ["execution_started", "execution_completed", "result_masked"]
_EXPECTED: list[tuple[str, list[str]]] = [
    ("crm.read_customer", ["requested", "arguments_masked", "allowed", *_RUN]),
    (
        "deploys.start",
        ["requested", "arguments_masked", "approval_required", "vote_cast", "approved", "allowed", *_RUN],
    ),
    ("crm.export_customers", ["requested", "arguments_masked", "approval_required", "vote_cast", "rejected"]),
    ("firewall.change", ["requested", "arguments_masked", "denied"]),
    ("payments.refund", ["requested", "arguments_masked", "allowed", *_RUN]),
    (TOOL, ["requested", "arguments_masked", "allowed", *_RUN]),
    (NEVER_ACCEPTED, ["requested", "arguments_masked", "denied"]),
]


@dataclass(slots=True)
class Secrets:
    """What must be nowhere: learnt as the story goes."""

    texts: dict[str, str] = field(default_factory=lambda: {"card of the refund": CARD})


async def reads_a_customer(story: Story, cast: Cast, secrets: Secrets) -> None:
    answer = await _asked(story, cast, "crm.read_customer", {"id": CUSTOMER})
    truth = await cast.upstream.customer(CUSTOMER)
    body = _body(answer.document)
    _tell_answer(story, answer, _json(body))
    hidden = {"ssn": "US_SSN", "card_number": "CREDIT_CARD", "email": "EMAIL_ADDRESS"}
    secrets.texts.update({f"{name} of {CUSTOMER}": str(truth[name]) for name in hidden})
    story.check("allowed, and answered in one request", (answer.status, answer.document["status"]), (200, "completed"))
    found = {finding["path"].strip("/"): finding["entity"] for finding in answer.document.get("findings", ())}
    story.check("SSN, card and e-mail were found", found, hidden)
    for name in hidden:
        story.check(f"{name} arrives masked: {body.get(name)}", str(truth[name]) not in _json(body) and name in body)
    rest = {name: value for name, value in truth.items() if name not in hidden}
    story.check(
        f"the rest is as the upstream has it: {', '.join(rest)}",
        {name: value for name, value in body.items() if name not in hidden},
        rest,
    )


async def deploys_to_production(story: Story, cast: Cast, _: Secrets) -> None:
    rosa = _Decider("rosa", cast.rosa, "approve")
    answer = await rosa.decides(story, cast, "deploys.start", DEPLOYMENT)
    seen = await cast.upstream.seen()
    _tell_answer(story, answer, _json(_body(answer.document)))
    story.check(
        "the agent's one waiting request returns the result",
        (answer.status, answer.document["status"], _body(answer.document).get("status")),
        (200, "completed", "started"),
    )
    call_id = answer.document["id"].rpartition(".")[2]
    counts = (seen["executed"].get("POST /deployments"), seen["executions"].get(call_id))
    story.check("the upstream ran it exactly once, under the call's id", counts, (1, 1))
    shown = (seen["last"]["POST /deployments"]["authorization_last4"], seen["refused"])
    story.check("with the connection's bearer credential", shown, (cast.upstream.token[-4:], 0))
    story.check("which the agent never had", any(cast.upstream.token in text for text in cast.agent.received), False)


async def exports_customers(story: Story, cast: Cast, _: Secrets) -> None:
    dora = _Decider("dora", cast.dora, "reject", REASON)
    answer = await dora.decides(story, cast, "crm.export_customers", {"limit": 5000})
    _tell_answer(story, answer, f"because: {answer.document.get('reason')}")
    story.check(
        "the agent is told no, and why",
        (answer.status, answer.document["status"], answer.document.get("reason")),
        (200, "rejected", REASON),
    )
    arrived = (await cast.upstream.seen())["arrived"].get("POST /customers/export", 0)
    story.check("the upstream was never called", arrived, 0)


async def changes_the_firewall(story: Story, cast: Cast, _: Secrets) -> None:
    answer = await _asked(story, cast, "firewall.change", {"rule": "0.0.0.0/0:22", "action": "add"})
    _tell_answer(story, answer, f"by {', '.join(answer.document.get('policies', ()))}")
    story.check(
        "denied, and the policy is named",
        (answer.status, answer.document["status"], answer.document.get("policies")),
        (200, "denied", ["firewall-is-never-for-agents"]),
    )
    arrived = (await cast.upstream.seen())["arrived"].get("POST /firewall/rules", 0)
    story.check("the upstream was never called", arrived, 0)


async def refunds(story: Story, cast: Cast, _: Secrets) -> None:
    arguments = {"amount": 40, "currency": "USD", "card_number": CARD}
    answer = await _asked(story, cast, "payments.refund", arguments)
    body = _body(answer.document)
    _tell_answer(story, answer, _json(body))
    story.check("allowed: 40 USD needs nobody", (answer.status, answer.document["status"]), (200, "completed"))
    last = (await cast.upstream.seen())["last"].get("POST /refunds", {})
    story.check("the upstream received the real card number", json.loads(last.get("body", "{}")), arguments)
    story.check("with the amount and currency in its answer", [body.get("amount"), body.get("currency")], [40, "USD"])
    masked = body.get("card_number", CARD)
    story.check(f"the agent's answer shows it masked: {masked}", CARD not in _json(body) and "card_number" in body)


async def uses_a_tool(story: Story, cast: Cast, secrets: Secrets) -> None:
    secrets.texts["card in a note"] = NOTED_CARD
    held = await _once(cast.rosa.held_tools, lambda tools: NEVER_ACCEPTED in tools)  # the last of them to be found
    story.line("executor", f"found {', '.join(held)}")
    if TOOL in held:  # else she accepted it in an earlier run
        story.check(
            "held until a person accepts it: the agent does not see it", TOOL in await cast.agent.functions(), False
        )
        story.line("rosa", f"reads {TOOL}: {held[TOOL]['now']['description']} {_json(held[TOOL]['now']['input'])}")
        accepted = await cast.rosa.accept(held[TOOL])
        story.check("rosa accepts it, as she saw it", accepted["definition"], held[TOOL]["definition"])
    seen = await _once(cast.agent.functions, lambda functions: TOOL in functions)
    story.check("the agent sees it, and none that nobody accepted", NEVER_ACCEPTED in seen, False)
    answer = await _asked(story, cast, TOOL, {"customer": CALLER})
    text = _json(_body(answer.document))
    _tell_answer(story, answer, text)
    story.check("allowed, as any function", (answer.status, answer.document["status"]), (200, "completed"))
    story.check(
        "the note arrives, with its card number masked", ("declined" in text, NOTED_CARD in text), (True, False)
    )
    answer = await _asked(story, cast, NEVER_ACCEPTED, {"customer": CALLER})
    _tell_answer(story, answer, f"because: {answer.document.get('code')}")
    refused = (answer.status, answer.document["status"], answer.document.get("code"))
    story.check("what nobody accepted cannot be called", refused, (200, "denied", "function_held"))


async def _once(look: Callable[[], Awaitable[T]], there: Callable[[T], bool]) -> T:
    """What is seen, looking now and then, once it is what is waited for."""
    while True:
        seen = await look()
        if there(seen):
            return seen
        await asyncio.sleep(_LOOK_AGAIN)


async def audits(story: Story, cast: Cast, secrets: Secrets, settings: Settings, *, fresh: bool) -> None:
    session = cast.agent.session or ""
    replay = await cast.ada.replay(session)
    calls: list[Document] = replay["calls"]
    story.line("ada", f"replays session {session} of {replay['principal']}")
    for number, call in enumerate(calls, 1):
        _tell(story, number, call)
    told = [(call["function"], [step["event"] for step in call["steps"]]) for call in calls]
    story.check("every call with every step is there, in order", told, _EXPECTED)
    story.check("with the arguments, as they may be seen", [_arguments(call) for call in calls], _expected_views(calls))
    voters = [(step["reviewer"]["id"], step["decision"]) for call in calls for step in call["steps"] if _is_vote(step)]
    story.check("the approvers and what they said", voters, [("rosa", "approve"), ("dora", "reject")])
    text = json.dumps(replay, ensure_ascii=False)
    shown = sorted(name for name, secret in secrets.texts.items() if secret in text)
    story.check("and no raw card number, SSN or e-mail", shown, [])
    async with open_platform(settings, Role.AUDIT) as platform:
        report = await verify_log(platform)
    story.line(
        "verify",
        f"{report.events} signed events in {report.calls} chains, {report.complete} of them complete; "
        f"{report.failures} failures, {report.aliens} alien",
    )
    steps = sum(len(call["steps"]) for call in calls)
    if fresh:
        story.check(
            "these are the events of the replay, all of them", (report.events, report.calls), (steps, len(calls))
        )
    else:
        story.check("they include the events of the replay", report.events >= steps and report.calls >= len(calls))
    story.check("the log verifies: nothing missing, forged or alien", (report.intact, report.aliens), (True, 0))


async def _asked(story: Story, cast: Cast, function: str, arguments: Document) -> Answer:
    story.line("agent", f"{function} {_json(_maskable(arguments))}")
    return await cast.agent.ask(function, arguments)


@dataclass(frozen=True, slots=True)
class _Decider:
    """A reviewer who decides on one call that the agent waits for."""

    name: str
    reviewer: Reviewer
    decision: str
    reason: str | None = None

    async def decides(self, story: Story, cast: Cast, function: str, arguments: Document) -> Answer:
        """The agent asks, the reviewer decides; what the agent's one request then brings."""
        known = {item["id"] for item in await self.reviewer.waiting()}
        asked = asyncio.create_task(_asked(story, cast, function, arguments))
        looking = asyncio.create_task(self.reviewer.next_of(function, known))
        try:
            both: set[asyncio.Task[Any]] = {asked, looking}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if asked.done():
                story.check("paused: the agent waits for a person", (await asked).document["status"], "waiting")
            else:
                await self._decide(story, asked, await looking)
            return await asked
        finally:
            for task in (asked, looking):
                task.cancel()
            await asyncio.gather(asked, looking, return_exceptions=True)

    async def _decide(self, story: Story, asked: "asyncio.Task[Answer]", item: Document) -> None:
        needs = " and ".join(f"{need['quorum']} of {'/'.join(need['approvers'])}" for need in item["requirements"])
        story.line(self.name, f"sees {item['function']} {_json(item['arguments'])}; it needs {needs}")
        story.check("paused: the agent waits for a person", asked.done(), False)
        outcome = await self.reviewer.vote(item, self.decision, self.reason)
        said = f": {self.reason}" if self.reason else ""
        story.line(self.name, f"{self.decision}s{said}")
        story.line("", f"the call is {outcome['state']}")


def _tell_answer(story: Story, answer: Answer, text: str) -> None:
    story.line("agent got", f"{answer.document['status']} after {answer.seconds * 1000:.0f} ms: {text}")


def _tell(story: Story, number: int, call: Document) -> None:
    story.line(f"  {number}", f"{call['function']} {_json(_arguments(call))}")
    for step in call["steps"]:
        match step["event"]:
            case "allowed" | "denied" | "approval_required":
                story.line("", f"  {step['event']}: {', '.join(step['policies'])}")
            case "vote_cast":
                reason = f": {step['reason']}" if step.get("reason") else ""
                story.line("", f"  {step['reviewer']['id']} {step['decision']}s{reason}")
            case "result_masked":
                story.line("", f"  response {step['status']}: {_json(step.get('response'))}")


def _is_vote(step: Document) -> bool:
    return bool(step["event"] == "vote_cast")


def _arguments(call: Document) -> Any:
    return next((step.get("arguments") for step in call["steps"] if step["event"] == "arguments_masked"), None)


def _expected_views(calls: list[Document]) -> list[Document]:
    """What the agent sent; the card number as masking replaced it, whose form is masking's own business."""
    refund = next((call for call in calls if call["function"] == "payments.refund"), None)
    masked = (_arguments(refund) or {}).get("card_number") if refund is not None else None
    return [
        {"id": CUSTOMER},
        dict(DEPLOYMENT),
        {"limit": 5000},
        {"rule": "0.0.0.0/0:22", "action": "add"},
        {"amount": 40, "currency": "USD", "card_number": masked if masked != CARD else "masked"},
        {"customer": CALLER},
        {"customer": CALLER},
    ]


def _maskable(arguments: Document) -> Document:
    """What the agent sends, on the screen: the raw number stays between agent and Callgate."""
    return {name: f"…{CARD[-4:]} (raw)" if value == CARD else value for name, value in arguments.items()}


def _body(outcome: Document) -> Document:
    body = outcome.get("result", {}).get("body")
    return body if isinstance(body, dict) else {}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
