"""One event and one record of each version, every field set. The golden files beside hold their bytes for ever."""

from datetime import UTC, datetime

from contracts import events as e
from contracts import records as r
from contracts.functions import ToolHints
from contracts.identity import Principal
from contracts.subjects import CallRef, Partition, genesis_subject, session_key_subject
from contracts.tools import ToolDefinition

AT = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
LATER = datetime(2026, 1, 31, 12, 15, tzinfo=UTC)
SESSION = "s_aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbb"
CALL = "019c1234-5678-7abc-8def-0123456789ab"
EVENT = "019c1234-5679-7abc-8def-0123456789ac"
REF = CallRef(Partition(1, 0), SESSION, CALL)
DIGEST = "0123456789abcdef" * 4
AGENT = Principal(
    id="agent-7",
    issuer="https://issuer.test",
    groups=("support",),
    on_behalf_of="ursula",
    actors=("agent-7", "broker-1"),
    token_id="jti-1",
    authenticated_at=AT,
)
REVIEWER = Principal(id="rita", issuer="https://issuer.test", groups=("finance", "sre"))
INLINE = e.Sealed(key_id="k1", nonce="AAAAAAAAAAAAAAAA", ciphertext="c2VhbGVk")
CHUNKED = e.Sealed(
    key_id="k1", nonce="AAAAAAAAAAAAAAAA", payload=e.PayloadRef(payload_id="p1", chunks=2, size=300_000, sha256=DIGEST)
)
FINDING = e.Finding(path="/customer/card", entity="CREDIT_CARD", start=0, end=16)
PROOF = e.Proof(issuer="https://issuer.test", subject="rita", authenticated_at=AT, digest=DIGEST)
REQUIREMENT_V1 = e.RequirementV1(policies=("large-refunds",), approvers=("finance",), quorum=2, expires_at=LATER)
REQUIREMENT = e.Requirement(
    policies=("large-refunds",),
    approvers=("finance", "sre"),
    quorum=2,
    expires_at=LATER,
    each=True,
    rejections=2,
    reason_required=True,
    remind_at=AT,
    escalation=e.Escalation(approvers=("finance-leads",), at=AT),
    break_glass=("incident-commanders",),
)
FACTS = {"/amount": 250.5, "/currency": "EUR", "/lines": [1, None, True], "/card": "****"}
_JUDGED = {"policy_set": DIGEST, "policies": ("support-may-refund",), "facts": FACTS, "function_digest": DIGEST}

EVENT_SAMPLES: tuple[e.EventData, ...] = (
    e.Requested(function="payments.refund", principal=AGENT, arguments=CHUNKED, request=None),
    e.ArgumentsMasked(
        function="payments.refund",
        principal=AGENT,
        arguments=INLINE,
        view=INLINE,
        findings=(FINDING,),
        uninspectable=("too_deep",),
        refused_tokens=(),
        amended=False,
        request=None,
    ),
    e.Allowed(**_JUDGED, grant=None),
    e.Denied(
        **_JUDGED, code="input_invalid", problems=(e.InputProblem(pointer="/amount", keyword="type"),), freeze=None
    ),
    e.ApprovalRequired(**_JUDGED, requirements=(REQUIREMENT,)),
    e.VoteCast(
        reviewer=REVIEWER,
        decision="approve",
        reason=INLINE,
        policies=("finance-approves",),
        proof=PROOF,
        replaces=CALL,
        break_glass=True,
    ),
    e.Approved(votes=(EVENT, CALL)),
    e.Rejected(by="rita", vote=EVENT),
    e.ApprovalExpired(expired_at=LATER),
    e.ArgumentsAmended(author=REVIEWER, patch=INLINE, reason=INLINE, proof=PROOF),
    e.ExecutionStarted(instance="executor-1", attempt=1, deadline=LATER),
    e.ExecutionCompleted(
        function="payments.refund",
        status=200,
        content_type="application/json",
        result=INLINE,
        size=812,
        truncated=True,
        duration_ms=12.345,
        headers=None,
    ),
    e.ExecutionFailed(code="connection_refused", freeze=None),
    e.OutcomeUnknown(code="upstream_timeout", freeze=None),
    e.OutcomeSettled(by=REVIEWER, outcome="done", result=INLINE, evidence=INLINE, reason=INLINE, proof=PROOF),
    e.ResultMasked(
        status=200,
        content_type="application/json",
        view=INLINE,
        findings=(FINDING,),
        withheld="response_cut_off",
        uninspectable=("response_cut_off",),
        headers=None,
        header_findings=(),
    ),
    e.Cancelled(by="agent-7", code="withdrawn", freeze=None),
)

FORMER_SAMPLES: tuple[e.EventData, ...] = (
    e.ApprovalRequiredV1(**_JUDGED, requirements=(REQUIREMENT_V1,)),
    e.VoteCastV1(reviewer=REVIEWER, decision="approve", reason=INLINE, policies=("finance-approves",), proof=PROOF),
)

RECORD_SAMPLES: tuple[tuple[str, r.RecordData], ...] = (
    (genesis_subject(Partition(1, 0)), r.Genesis(epoch=1, shard=0, shards=2)),
    ("control.policy_set", r.PolicySetPublished(policy_set=DIGEST, files={"calls.cedar": 'permit(é);\n// "x"'})),
    ("control.connection.crm", r.ConnectionRegistered(connection="crm", functions={"crm.read": DIGEST})),
    (
        "control.tool.files.read_file.found",
        r.ToolFound(
            connection="files",
            function="read_file",
            definition=ToolDefinition(
                tool="read-file",
                title="Read a file",
                description="The text of a file.",
                input={"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
                output={"type": "object"},
                hints=ToolHints(read_only=True),
            ),
        ),
    ),
    (
        "control.tool.files.read_file.accepted",
        r.ToolAccepted(connection="files", function="read_file", definition=DIGEST, by=REVIEWER),
    ),
    (
        "control.grant.g1",
        r.GrantedV1(grant_id="g1", by=REVIEWER, policy="permit(…);", uses=3, expires_at=LATER, reason="release"),
    ),
    (
        "control.grant.g1.made",
        r.Granted(
            grant_id="g1",
            by=REVIEWER,
            agent="agent-7",
            issuer="https://issuer.test",
            on_behalf_of="ursula",
            session_id=SESSION,
            function="payments.refund",
            conditions={"amount": {"lte": 40.5}, "currency": {"in": ["USD", "EUR"]}},
            policy="permit(…);",
            uses=3,
            expires_at=LATER,
            reason=INLINE,
        ),
    ),
    (f"control.grant.g1.used.{CALL}", r.GrantUsed(grant_id="g1", call=str(REF), number=2)),
    ("control.grant.g1", r.GrantRevoked(grant_id="g1", by=REVIEWER)),
    ("control.freeze.f1", r.FrozenV1(freeze_id="f1", scope="agent", target="agent-7", by=REVIEWER, reason="odd calls")),
    (
        "control.freeze.f1",
        r.Frozen(
            freeze_id="f1",
            scope="agent",
            target="agent-7",
            issuer="https://issuer.test",
            by=REVIEWER,
            reason=INLINE,
            expires_at=LATER,
        ),
    ),
    ("control.freeze.f1", r.Unfrozen(freeze_id="f1", by=REVIEWER)),
    (
        "control.revocation.r1",
        r.Revoked(
            revocation_id="r1",
            scope="subject",
            target="agent-7",
            issuer="https://issuer.test",
            issued_before=AT,
            by=REVIEWER,
            reason=INLINE,
            expires_at=LATER,
        ),
    ),
    ("control.revocation.r1", r.Unrevoked(revocation_id="r1", by=REVIEWER)),
    (
        session_key_subject(SESSION, "k1"),
        r.SessionKey(
            key_id="k1",
            session_id=SESSION,
            data_class="raw",
            wraps=(r.WrappedKey(reader_key_id="masking-0123456789ab", wrapped="d3JhcHBlZA=="),),
        ),
    ),
    (f"keys.{SESSION}.erased", r.SessionErased(session_id=SESSION, reason="request of the person")),
    (
        f"access.{SESSION}.viewed",
        r.Accessed(
            who=REVIEWER, action="viewed", session_id=SESSION, call_id=CALL, path="/card", detail={"n": 1, "x": None}
        ),
    ),
    ("access.alarms", r.Alarmed(stream="CALLS_1_0", sequence=17, subject="calls.x", code="unknown_key")),
    ("checkpoints.1-0", r.Checkpoint(epoch=1, shard=0, tree_size=9, root=DIGEST, previous=DIGEST)),
    (
        "notices.due.webhook-soc.1-0.s.c.e",
        r.NoticeDue(endpoint="webhook-soc", call=str(REF), event_id=EVENT, kind="approval_required"),
    ),
    (
        "notices.outcome.webhook-soc.1-0.s.c.e",
        r.NoticeOutcome(
            endpoint="webhook-soc",
            call=str(REF),
            kind="approval_required",
            outcome="pending",
            attempts=2,
            code="http_status",
            status=503,
            next_at=AT,
        ),
    ),
    (
        "notices.message.slack-C024BE91L.1-0.s.c.e",
        r.MessageShown(endpoint="slack-C024BE91L", call=str(REF), question=EVENT, message="1700000000.000100", shows=7),
    ),
)


def event_of(data: e.EventData) -> "e.Event[e.EventData]":
    return e.make_event(EVENT, REF, AT, DIGEST, data)


def record_of(subject: str, data: r.RecordData) -> "r.Record[r.RecordData]":
    return r.make_record(EVENT, "golden", subject, AT, data)
