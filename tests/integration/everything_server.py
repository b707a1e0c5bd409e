"""A server of the official SDK, in both generations, with all that the official conformance suite asks of one.

    python tests/integration/everything_server.py

serves it on a free port of loopback, and prints its URL.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, get_args

from everything_tools import PNG, Tools, asks_first, resource, text
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp_servers import serving_mcp
from mcp_types import (
    INVALID_PARAMS,
    CallToolRequestParams,
    CompleteRequestParams,
    CompleteResult,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    ReadResourceRequestParams,
    ReadResourceResult,
    SetLevelRequestParams,
    SubscribeRequestParams,
    UnsubscribeRequestParams,
)

Context = ServerRequestContext[Any, Any]

_RESOURCES: Final = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "Watched resource content"},
}
_TEMPLATE: Final = ("test://template/", "/data")
_PROMPTS: Final[Mapping[str, tuple[str, ...]]] = {
    "test_simple_prompt": (),
    "test_prompt_with_arguments": ("arg1", "arg2"),
    "test_prompt_with_embedded_resource": ("resourceUri",),
    "test_prompt_with_image": (),
    "test_input_required_result_prompt": (),
}


async def _list_resources(*_: Any) -> ListResourcesResult:
    listed = [
        {"uri": uri, "name": uri.partition("://")[2], "mimeType": one["mimeType"]} for uri, one in _RESOURCES.items()
    ]
    return ListResourcesResult.model_validate({"resources": listed}, by_name=False)


async def _list_templates(*_: Any) -> ListResourceTemplatesResult:
    one = {"uriTemplate": "{id}".join(_TEMPLATE), "name": "template", "mimeType": "application/json"}
    return ListResourceTemplatesResult.model_validate({"resourceTemplates": [one]}, by_name=False)


async def _read(_: Context, params: ReadResourceRequestParams) -> ReadResourceResult:
    uri, (before, after) = str(params.uri), _TEMPLATE
    if uri in _RESOURCES:
        said = _RESOURCES[uri]
    elif uri.startswith(before) and uri.endswith(after):
        number = uri.removeprefix(before).removesuffix(after)
        said = {"mimeType": "application/json", "text": f'{{"id": "{number}", "templateTest": true}}'}
    else:
        raise MCPError(INVALID_PARAMS, "Resource not found", {"uri": uri})
    return ReadResourceResult.model_validate({"contents": [{"uri": uri, **said}]}, by_name=False)


async def _subscription(_: Context, params: SubscribeRequestParams | UnsubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


async def _list_prompts(*_: Any) -> ListPromptsResult:
    listed = [
        {
            "name": name,
            "description": f"{name}, as the suite calls it.",
            "arguments": [_argument(one) for one in arguments],
        }
        for name, arguments in _PROMPTS.items()
    ]
    return ListPromptsResult.model_validate({"prompts": listed}, by_name=False)


def _argument(name: str) -> dict[str, Any]:
    return {"name": name, "required": True}


async def _prompt(context: Context, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    given = params.arguments or {}
    match params.name:
        case "test_simple_prompt":
            return _messages(text("This is a simple prompt for testing."))
        case "test_prompt_with_arguments":
            return _messages(text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'"))
        case "test_prompt_with_embedded_resource":
            return _messages(resource(given["resourceUri"], "Embedded resource content for testing."))
        case "test_prompt_with_image":
            return _messages({"type": "image", "data": PNG, "mimeType": "image/png"}, text("What is it?"))
        case "test_input_required_result_prompt":
            return await _prompt_that_asks(context, params)
        case _:
            raise MCPError(INVALID_PARAMS, f"Unknown prompt: {params.name}")


async def _prompt_that_asks(context: Context, params: GetPromptRequestParams) -> GetPromptResult | InputRequiredResult:
    schema = {"type": "object", "properties": {"context": {"type": "string"}}, "required": ["context"]}
    form = {"message": "What is it for?", "requestedSchema": schema}
    asking = asks_first({"user_context": {"method": "elicitation/create", "params": form}})
    given = CallToolRequestParams(name=params.name, input_responses=params.input_responses)
    answer = await asking(context, given)
    return answer if isinstance(answer, InputRequiredResult) else _messages(text("That is what it is for."))


def _messages(*contents: dict[str, Any]) -> GetPromptResult:
    messages = [{"role": "user", "content": content} for content in contents]
    return GetPromptResult.model_validate({"messages": messages}, by_name=False)


async def _complete(_: Context, params: CompleteRequestParams) -> CompleteResult:
    return CompleteResult.model_validate({"completion": {"values": [], "total": 0, "hasMore": False}}, by_name=False)


async def _set_level(_: Context, params: SetLevelRequestParams) -> EmptyResult:
    return EmptyResult()


def build() -> Server[Any]:
    bus = InMemorySubscriptionBus()
    tools = Tools(bus)

    async def list_tools(*_: Any) -> ListToolsResult:
        return ListToolsResult(tools=tools.listed())

    server: Server[Any] = Server(
        "everything",
        version="1.0.0",
        cache_hints=dict.fromkeys(get_args(CacheableMethod), CacheHint()),
        on_list_tools=list_tools,
        on_call_tool=tools.call,
        on_list_resources=_list_resources,
        on_list_resource_templates=_list_templates,
        on_read_resource=_read,
        on_subscribe_resource=_subscription,
        on_unsubscribe_resource=_subscription,
        on_subscriptions_listen=ListenHandler(bus),
        on_list_prompts=_list_prompts,
        on_get_prompt=_prompt,
        on_completion=_complete,
    )
    # Not as an argument: the SDK warns of what the newest protocol has no more.
    server.add_request_handler("logging/setLevel", SetLevelRequestParams, _set_level)
    return server


@contextlib.asynccontextmanager
async def everything() -> AsyncIterator[str]:
    """Its URL, while it serves."""
    async with serving_mcp(build().streamable_http_app()) as url:
        yield url


async def _main() -> None:
    async with everything() as url:
        sys.stdout.write(url + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
