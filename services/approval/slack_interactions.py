"""What people do in Slack: buttons and the reason's form, over signed HTTP requests or Socket Mode.

A press is answered at once, as Slack gives three seconds; the vote goes on after that. It is cast as the HTTP API does:
same function, same rules, on the digest of the question that the message showed. Who presses is whom Slack says, in the
bot's own workspace: a mapped user, or one whose address Slack has verified and the settings name. Nobody else can vote.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from slack_sdk.signature import Clock, SignatureVerifier
from slack_sdk.socket_mode.aiohttp import SocketModeClient
from slack_sdk.socket_mode.async_client import AsyncBaseSocketModeClient
from slack_sdk.socket_mode.request import SocketModeRequest
from slack_sdk.socket_mode.response import SocketModeResponse

from callgate.channel_settings import SlackPerson, SlackSettings
from callgate.errors import CallgateError
from callgate.http import Problem
from callgate.identity.binding import UsedProofs
from callgate.telemetry import describe
from contracts.identity import Principal
from services.approval.channels import SendFailed
from services.approval.domain import DECISIONS, Decision, must_say_why
from services.approval.handlers import Deciding
from services.approval.routes import cast, checked_reason, looked_at, read_body
from services.approval.secret_files import SecretMissing, read_secret
from services.approval.slack_api import SlackApi, silent_logger
from services.approval.slack_blocks import (
    APPROVE,
    REASON_BLOCK,
    REASON_INPUT,
    REJECT,
    VOTE_MODAL,
    escaped,
    read_ballot,
    told_modal,
    vote_modal,
)

logger = logging.getLogger("services.approval.slack")

BODY_LIMIT = 256 * 1024
KEPT = 900
"""Seconds that a request is remembered as taken: Slack's signature is good for five minutes before and after now."""
_PATIENCE = 2.0
"""Seconds of Slack's three in which the form waits for its vote, so that a refusal is shown in it."""
_ACTIONS: Mapping[str, Decision] = {APPROVE: "approve", REJECT: "reject"}

Answer = dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Pressed:
    """A vote that somebody wants to cast, and where to tell them how it went."""

    user: str
    team: str
    channel: str
    call: str
    digest: str
    decision: Decision


class NotMapped(Exception):
    """The Slack user is nobody here, or nobody any more. Its text is for them."""


class Interactions:
    """Takes payloads of Slack's, however they come. `drain` waits for votes under way."""

    def __init__(
        self,
        settings: SlackSettings,
        api: SlackApi,
        approval: Deciding,
        clock: Callable[[], datetime],
        ended: Callable[[Principal], bool],
    ) -> None:
        """`ended`: whose identity is revoked, so that no word of theirs counts."""
        self._by_user = {person.user: person for person in settings.people if person.user}
        self._by_email = {person.email.lower(): person for person in settings.people if person.email}
        self._api = api
        self._approval = approval
        self._clock = clock
        self._ended = ended
        self._under_way: set[asyncio.Task[Any]] = set()

    async def take(self, payload: Mapping[str, Any]) -> Answer:
        """What Slack is answered, within its three seconds."""
        if payload.get("type") == "block_actions":
            for action in payload.get("actions") or ():
                pressed = _pressed(payload, action)
                if pressed is not None:
                    self._start(self._on_press(pressed, str(payload.get("trigger_id", ""))))
        elif payload.get("type") == "view_submission":
            return await self._on_form(payload)
        return None

    async def drain(self, seconds: float) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=seconds)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _on_press(self, pressed: Pressed, trigger: str) -> None:
        try:
            person = await self._person(pressed)
            question = await looked_at(self._approval, pressed.call, person)
            if pressed.decision == "reject" or must_say_why(question, person, self._approval.now()):
                view = vote_modal(question, pressed.decision, _metadata(pressed))
                await self._api.call("views.open", trigger_id=trigger, view=view)
            else:
                await self._vote(pressed, person, None)
        except NotMapped as unmapped:
            await self._tell(pressed, str(unmapped))
        except Problem as problem:
            await self._tell(pressed, problem.detail)
        except (CallgateError, SendFailed):
            await self._tell(pressed, "That did not go through. Nothing is lost; try again, or open the call's page.")

    async def _on_form(self, payload: Mapping[str, Any]) -> Answer:
        read = _submitted(payload)
        if read is None:
            return None
        pressed, typed = read
        try:
            reason = checked_reason(typed)
        except Problem as problem:
            return {"response_action": "errors", "errors": {REASON_BLOCK: problem.detail}}
        if reason is None:
            return {"response_action": "errors", "errors": {REASON_BLOCK: "Say why."}}
        task = self._start(self._vote_said(pressed, reason))
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE)
        refusal = task.result() if done else None
        if refusal is None:
            if not done:
                task.add_done_callback(lambda late: self._tell_late(pressed, late))
            return {"response_action": "clear"}
        return {"response_action": "update", "view": told_modal(refusal)}

    async def _vote_said(self, pressed: Pressed, reason: str) -> str | None:
        """None where the vote was cast, else why not."""
        try:
            await self._vote(pressed, await self._person(pressed), reason)
        except NotMapped as unmapped:
            return str(unmapped)
        except Problem as problem:
            return problem.detail
        except (CallgateError, SendFailed):
            return "That did not go through. Nothing is lost; try again, or open the call's page."
        return None

    async def _vote(self, pressed: Pressed, person: Principal, reason: str | None) -> None:
        await cast(self._approval, pressed.call, person, pressed.decision, reason, pressed.digest)

    async def _person(self, pressed: Pressed) -> Principal:
        """Whom the Slack user is here. NotMapped, SendFailed."""
        if not pressed.team or pressed.team != await self._api.team():
            # Somebody of another workspace in a shared channel: what address they have there is for others to say.
            raise NotMapped("Only members of this app's own workspace can decide here.")
        person = self._by_user.get(pressed.user)
        if person is None and self._by_email:
            person = await self._by_address(pressed.user, pressed.team)
        if person is None:
            raise NotMapped(
                "Your Slack account stands for nobody who may decide. Ask the operators of Callgate to map it."
            )
        principal = Principal(
            id=person.id,
            issuer=f"{self._api.client.base_url}{pressed.team}",
            groups=person.groups,
            token_id=f"slack:{pressed.user}",
            authenticated_at=self._clock(),
        )
        if self._ended(principal):
            raise NotMapped("Your identity was revoked here, so you cannot decide.")
        return principal

    async def _by_address(self, user_id: str, team: str) -> SlackPerson | None:
        user = (await self._api.read("users.info", user=user_id)).get("user")
        if not isinstance(user, dict) or (user.get("id"), user.get("team_id")) != (user_id, team):
            return None
        if any(user.get(flag) for flag in ("deleted", "is_bot", "is_restricted", "is_ultra_restricted", "is_stranger")):
            return None
        profile = user.get("profile")
        address = profile.get("email") if isinstance(profile, dict) else None
        if user.get("is_email_confirmed") is not True or not isinstance(address, str):
            return None
        return self._by_email.get(address.lower())

    async def _tell(self, pressed: Pressed, words: str) -> None:
        """To that person alone."""
        try:
            await self._api.call(
                "chat.postEphemeral", channel=pressed.channel, user=pressed.user, text=escaped(words), mrkdwn=False
            )
        except SendFailed as failed:
            logger.warning("somebody could not be told that a vote was not cast", extra={"code": failed.code})

    def _tell_late(self, pressed: Pressed, task: "asyncio.Task[str | None]") -> None:
        if not task.cancelled() and task.exception() is None and (refusal := task.result()) is not None:
            self._start(self._tell(pressed, refusal))

    def _start(self, work: Any) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return task

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        self._under_way.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("an interaction failed", extra={"error": describe(error)})


def interaction_routes(
    interactions: Interactions, secret_file: Path, clock: Callable[[], datetime], used: UsedProofs
) -> APIRouter:
    """Where Slack sends what people press. `used`, which all replicas share, tells what was taken before."""
    router = APIRouter(prefix="/v1/slack", tags=["approval"])

    @router.post("/interactions", summary="For Slack alone: what people press there")
    async def interaction(request: Request) -> Response:
        body = await read_body(request, BODY_LIMIT)
        signature = _checked(request, body, secret_file, clock)
        if not await used.use(f"slack-{hashlib.sha256(signature.encode()).hexdigest()}"):
            raise Problem(401, "replayed", "This request was taken before.")
        answer = await interactions.take(_payload(body))
        if answer is None:
            return Response(status_code=200)
        return Response(json.dumps(answer), media_type="application/json")

    return router


class SocketMode:
    """The same over a WebSocket that this side opens, where Slack cannot reach us. Run `keep` in the background."""

    def __init__(self, interactions: Interactions, api: SlackApi, app_token_file: Path) -> None:
        self._interactions = interactions
        self._api = api
        self._app_token_file = app_token_file

    async def keep(self) -> None:
        token = read_secret(self._app_token_file)
        client = SocketModeClient(app_token=token, web_client=self._api.client, logger=silent_logger())
        client.proxy = self._api.client.proxy
        client.socket_mode_request_listeners.append(self._take)
        try:
            await client.connect()  # type: ignore[no-untyped-call]  # goes on trying, and reconnects by itself
            await asyncio.Event().wait()
        finally:
            await client.close()  # type: ignore[no-untyped-call]

    async def _take(self, client: AsyncBaseSocketModeClient, request: SocketModeRequest) -> None:
        answer = await self._interactions.take(request.payload) if request.type == "interactive" else None
        await client.send_socket_mode_response(SocketModeResponse(envelope_id=request.envelope_id, payload=answer))


class _At(Clock):
    def __init__(self, now: float) -> None:
        self._now = now

    def now(self) -> float:
        return self._now


def _checked(request: Request, body: bytes, secret_file: Path, clock: Callable[[], datetime]) -> str:
    """The signature of a request that Slack signed lately. Problem."""
    stamp = request.headers.get("x-slack-request-timestamp", "")
    signature = request.headers.get("x-slack-signature", "")
    try:
        verifier = SignatureVerifier(read_secret(secret_file), _At(clock().timestamp()))
        good = stamp.isascii() and stamp.isdigit() and len(stamp) < 16 and signature.isascii()
        if good and verifier.is_valid(body, stamp, signature):
            return signature
    except SecretMissing:
        raise Problem(503, "signing_secret_missing", "The signing secret cannot be read now.") from None
    except UnicodeDecodeError:
        pass
    raise Problem(401, "bad_signature", "Slack did not sign this, or more than five minutes ago.")


def _payload(body: bytes) -> Mapping[str, Any]:
    try:
        (text,) = parse_qs(body.decode(), strict_parsing=True, max_num_fields=4)["payload"]
        payload = json.loads(text)
    except (ValueError, KeyError, RecursionError):
        raise Problem(400, "invalid_request", "Send an interaction as Slack does.") from None
    if not isinstance(payload, dict):
        raise Problem(400, "invalid_request", "Send an interaction as Slack does.")
    return payload


def _pressed(payload: Mapping[str, Any], action: Any) -> Pressed | None:
    """The vote that a press of one of our buttons asks for; None for any other."""
    decision = _ACTIONS.get(str(action.get("action_id"))) if isinstance(action, dict) else None
    ballot = read_ballot(action.get("value")) if decision is not None else None
    channel = payload.get("channel")
    if decision is None or ballot is None or not isinstance(channel, dict):
        return None
    user, team = _who(payload)
    return Pressed(user, team, str(channel.get("id", "")), *ballot, decision)


def _who(payload: Mapping[str, Any]) -> tuple[str, str]:
    """The user and the workspace that is theirs, which in a shared channel is not that of the payload."""
    user = payload.get("user")
    if not isinstance(user, dict):
        return "", ""
    return str(user.get("id", "")), str(user.get("team_id", ""))


def _metadata(pressed: Pressed) -> str:
    return json.dumps(
        {"call": pressed.call, "digest": pressed.digest, "decision": pressed.decision, "channel": pressed.channel}
    )


def _submitted(payload: Mapping[str, Any]) -> tuple[Pressed, str] | None:
    """The vote of a form of ours and the reason typed; None for any other form."""
    view = payload.get("view")
    if not isinstance(view, dict) or view.get("callback_id") != VOTE_MODAL:
        return None
    try:
        kept = json.loads(str(view.get("private_metadata")))
        typed = view["state"]["values"][REASON_BLOCK][REASON_INPUT]["value"] or ""
        decision = DECISIONS.get(kept["decision"])
        call, digest, channel = (str(kept[name]) for name in ("call", "digest", "channel"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if decision is None:
        return None
    return Pressed(*_who(payload), channel, call, digest, decision), str(typed)
