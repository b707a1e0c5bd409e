"""A model's tools: the functions as its API wants them, and the messages that answer its tool calls."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Format = Literal["openai", "openai-responses", "anthropic"]
"""Of OpenAI's Chat Completions, of its Responses, and of Anthropic's Messages."""

Messages = list[dict[str, Any]]


def definitions_path(format: Format) -> str:
    return f"/v1/functions?format={format}"


@dataclass(frozen=True, slots=True)
class Tools:
    """`definitions` are what the model's API takes as `tools`.

    tools = callgate.tools("openai")
    answer = model.chat.completions.create(model=…, messages=messages, tools=tools.definitions)
    messages.append(answer.choices[0].message)
    messages += tools.run(answer.choices[0].message)
    """

    format: Format
    definitions: Messages
    _run: Callable[[Format, Mapping[str, Any], float | None, str | None], Messages] = field(repr=False)

    def run(self, answer: Any, *, timeout: float | None = None, idempotency_key: str | None = None) -> Messages:
        """Runs the tool calls of a model's answer, all at the same time, and gives the messages that answer them.

        `answer` is the message or response as the model's own library gives it, or as JSON. None of its calls: [].
        A call that was denied, or still waits after `timeout` seconds, is answered too: the model is told so. After
        Unreachable run the same answer again under the key that it names, or its calls may run twice. Problem.
        """
        body = asked_by(self.format, answer)
        return self._run(self.format, body, timeout, idempotency_key) if body is not None else []


@dataclass(frozen=True, slots=True)
class AsyncTools:
    """`Tools`, awaited."""

    format: Format
    definitions: Messages
    _run: Callable[[Format, Mapping[str, Any], float | None, str | None], Awaitable[Messages]] = field(repr=False)

    async def run(
        self,
        answer: Any,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
        idempotency_key: str | None = None,
    ) -> Messages:
        """As `Tools.run`."""
        body = asked_by(self.format, answer)
        return await self._run(self.format, body, timeout, idempotency_key) if body is not None else []


def asked_by(format: Format, answer: Any) -> dict[str, Any] | None:
    """The tool calls of a model's answer as `POST /v1/tool-calls/{format}` takes them; None where there are none.

    TypeError for what is no such answer.
    """
    document, (name, kind) = _plain(answer), _CALLS[format]
    if isinstance(document, Sequence) and not isinstance(document, (str, bytes)):
        document = {name: document}
    if not isinstance(document, Mapping):
        raise TypeError("a model's message or response is wanted: an object of its library, or its JSON")
    if "choices" in document:
        document = document["choices"][0]["message"]
    parts = document.get(name)
    calls = [part for part in parts if part.get("type") == kind] if isinstance(parts, list) else []
    return {name: calls} if calls else None


_CALLS: Mapping[Format, tuple[str, str]] = {
    "openai": ("tool_calls", "function"),
    "openai-responses": ("output", "function_call"),
    "anthropic": ("content", "tool_use"),
}
"""Where the calls stand, and the type of those parts that are some."""


def _plain(value: Any) -> Any:
    """An object of a model's library as JSON: they are pydantic models all."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(part) for part in value]
    return value
