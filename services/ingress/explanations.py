"""What each code of an outcome means, and what an agent can do about it, in one sentence. docs/codes.md lists them."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from contracts.events import InputProblem, OutcomeSettled
from contracts.model import JsonValue
from services.ingress.allowed import allowed

_SCHEMA = "The list of functions shows each one's input schema."

DENIED: Mapping[str, str] = MappingProxyType(
    {
        "forbidden": "A policy forbids this call; the policies named say which. Approval cannot lift it.",
        "not_permitted": "No policy permits this caller to make this call.",
        "no_approvers": "The call needs approval, and the policy names nobody who could give it.",
        "approval_insufficient": "The policies changed while people decided, and now ask for more approvals.",
        "no_policy": "No policies are in force, so everything is denied; tell the operator.",
        "unknown_function": "There is no such function; the list of functions has all that there are.",
        "function_held": "Nobody has accepted yet what its server says of the function; ask the operator.",
        "function_gone": "The function's server offers it no more.",
        "frozen": "A person froze such calls; nothing was run. Ask again once that is lifted.",
        "uninspectable": "Part of the arguments could not be inspected: too deep, too large or too many findings.",
        "patch_does_not_apply": "A reviewer's change does not fit the arguments, so nothing was run. Call again.",
        "token_invalid": "A token (`tok_…`) is none of this session's, or was changed; give it back as you got it.",
        "token_not_allowed": "A token (`tok_…`) stands for something that this parameter does not accept.",
        "input_invalid": f"The arguments break the function's schema. {_SCHEMA}",
        "policy_error": "A policy failed to evaluate, so the call is denied; tell the operator.",
        "principal_invalid": "The caller's identity cannot be expressed in a policy; tell the operator.",
        "request_refused": "The call does not fit the policies' schema; tell the operator.",
        "number_precision": "A number has more than the four decimals that can be judged exactly.",
        "number_range": "A number is beyond what can be judged exactly.",
        "integer_range": "An integer is beyond 64 bits.",
        "wrong_type": f"A value has another type than the schema says. {_SCHEMA}",
        "unknown_attribute": f"The arguments hold something that the schema does not know. {_SCHEMA}",
        "untypable": "A parameter has no type that a policy could judge; leave it out, or tell the operator.",
        "too_deep": "The arguments are nested too deep.",
        "mixed_array": "An array mixes types, which cannot be judged.",
        "not_unicode": "A text holds half a surrogate pair, which is no Unicode.",
        "number_not_finite": "A number is not finite.",
    }
)
CANCELLED: Mapping[str, str] = MappingProxyType(
    {
        "withdrawn": "It was withdrawn before it began.",
        "frozen": "It waited for approval when a person froze such calls; it was not run. Ask again later.",
    }
)
FAILED: Mapping[str, str] = MappingProxyType(
    {
        "function_unknown": "The function is no longer declared; nothing was sent.",
        "function_changed": "The function's definition changed after it was judged; nothing was sent. Call again.",
        "function_held": "Nobody has accepted yet what its server says of the function; nothing was sent.",
        "function_gone": "The function's server offers it no more; nothing was sent.",
        "server_unavailable": "The function's server did not start or shake hands; nothing was sent. Try again later.",
        "grant_invalid": "The grant that lifted the approval does not cover this call; nothing was sent. Call again.",
        "credential_missing": "The function's credential is missing; nothing was sent. Tell the operator.",
        "credential_unreadable": "The function's credential cannot be read; nothing was sent. Tell the operator.",
        "credential_malformed": "The function's credential is malformed; nothing was sent. Tell the operator.",
        "connection_refused": "The function's server refused the connection; nothing was sent. Try again later.",
        "request_malformed": "The request that came through the proxy is damaged; nothing was sent. Tell the operator.",
        "connect_failed": "The function's server could not be reached; nothing was sent. Try again later.",
        "connect_timeout": "The function's server did not answer the connection in time; nothing was sent.",
        "dns_failure": "The function's server was not found; nothing was sent. Tell the operator.",
        "tls_failure": "The function's server did not prove itself; nothing was sent. Tell the operator.",
        "deadline_passed": "Its time was over before it began; nothing was sent. Call again.",
        "frozen": "A person froze such calls before it began; nothing was sent. Ask again once that is lifted.",
        "settled_as_not_done": "A person looked into it: it did not happen.",
        "path_parameter_empty": "A parameter of the path is empty; nothing was sent.",
        "path_parameter_missing": "A parameter of the path is missing; nothing was sent.",
        "path_parameter_not_scalar": "A parameter of the path is no string, number or boolean; nothing was sent.",
        "query_parameter_not_scalar": "A parameter of the query is no string, number or boolean; nothing was sent.",
        "form_field_not_scalar": "A field of the form is no string, number or boolean; nothing was sent.",
        "body_not_text": "The argument that is the body is no string; nothing was sent.",
        "lone_surrogate": "A text holds half a surrogate pair, which is no Unicode; nothing was sent.",
        "dot_segment": "A parameter of the path is `.` or `..`, alone or between slashes; nothing was sent.",
    }
)
_ELSE: Mapping[str, str] = MappingProxyType(
    {
        "denied": "The call was denied.",
        "failed": "It certainly had no effect.",
        "unknown": "It may have happened. It is never run again by itself; a person looks into it.",
        "cancelled": "It was withdrawn before it began.",
        "expired": (
            "The people who must approve did not decide in time. It was not run, and never will be under this id. "
            "To ask them again, make the same call anew."
        ),
        "rejected": "A reviewer said no; it was not run.",
    }
)


def explain_settled(settled: OutcomeSettled) -> str:
    """What a person said of an outcome that nobody knew, for what came after."""
    if settled.outcome == "run_again":
        return "Nobody knew whether it had happened; a person looked into it and had it run again."
    if settled.outcome == "not_done":
        return FAILED["settled_as_not_done"]
    told = "the result is what they found" if settled.result is not None else "what the function answered is not known"
    return f"A person looked into it: it was done; {told}."


def explain(
    status: str,
    code: str | None,
    problems: Sequence[InputProblem] = (),
    schema: Mapping[str, JsonValue] | None = None,
) -> str | None:
    """One sentence or two for an outcome that is no result; None for one that needs no words. With the function's
    schema, which is public, it says what is allowed in place of what the caller wrote."""
    known = {"denied": DENIED, "failed": FAILED, "cancelled": CANCELLED}.get(status, {})
    text = known.get(code or "") or _ELSE.get(status)
    if text is None or not problems:
        return text
    return f"{text} Here: {', '.join(_place(problem, schema or {}) for problem in problems)}."


def _place(problem: InputProblem, schema: Mapping[str, JsonValue]) -> str:
    place = f"`{problem.pointer}`" if problem.pointer else "(the arguments)"
    if problem.keyword == "required":
        return f"{place} is missing"
    said = allowed(schema, problem.pointer, problem.keyword)
    return f"{place} breaks `{problem.keyword}`" + (f" ({said})" if said else "")
