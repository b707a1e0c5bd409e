"""What docs/mcp.md shows is done, against `callgate up` with the example configuration."""

import json
import os
import re
from typing import Any

import pytest
from governed_scene import eventually
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from test_agents_docs import PRINTED, ROOT, Up, up

PAGE = (ROOT / "docs" / "mcp.md").read_text()
__all__ = ["up"]


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def servers(up: Up) -> list[dict[str, Any]]:
    """The server of each configuration that the page shows, as a client fills it in."""
    texts = [text.replace(PRINTED, up.url).replace("${env:AGENT}", up.agent) for text in blocks("json")]
    return [json.loads(text)["mcpServers"]["callgate"] for text in texts]


async def customer(client: Client) -> Any:
    assert "payments-refund" in [tool.name for tool in (await client.list_tools()).tools]
    return (await client.call_tool("crm-read_customer", {"id": "c42"})).structured_content["id"]


async def test_a_client_with_an_address(up: Up) -> None:
    (server,) = [one for one in servers(up) if "url" in one]
    async with (
        create_mcp_http_client(server["headers"]) as http,
        Client(streamable_http_client(server["url"], http_client=http)) as client,
    ):
        assert await customer(client) == "c42"
    (added,) = [text for text in blocks("sh") if text.startswith("claude ")]
    assert server["url"] in added.replace(PRINTED, up.url), "the same address by the other way"


async def test_a_client_that_starts_a_command(up: Up) -> None:
    (server,) = [one for one in servers(up) if "command" in one]
    (up.folder / "agent.token").write_text(up.agent)
    await up.shell("callgate --help >/dev/null")  # puts the command on the PATH
    environment = {"PYTHONPATH": str(ROOT), "PATH": f"{up.folder / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    command = str(up.folder / "bin" / server["command"])
    started = StdioServerParameters(command=command, args=server["args"], env=environment, cwd=up.folder)
    async with Client(started) as client:
        assert await customer(client) == "c42"


async def test_the_sdk(up: Up) -> None:
    (program,) = blocks("python")
    printed = (await up.python(program)).splitlines()
    assert "crm-read_customer" in printed
    assert printed[-1] == "c42 False"


async def test_curl(up: Up) -> None:
    (line,) = [text for text in blocks("sh") if text.startswith("curl ")]
    result = json.loads(await up.shell(line))["result"]
    assert result["resultType"] == "complete"
    assert result["structuredContent"]["id"] == "c42"
    assert result["_meta"]["dev.callgate/call"]["status"] == "completed"


async def test_the_server_behind_it(up: Up) -> None:
    changes, call = [text for text in blocks("sh") if text.startswith("CALLGATE_TOKEN=")]

    async def held() -> str | None:
        found = re.search(
            r"`(callgate functions accept notes\.search_notes --definition \S+)`", await up.shell(changes)
        )
        return found[1] if found else None

    accept = await eventually(held)
    assert accept.startswith("callgate functions accept notes.search_notes --definition ")
    await up.shell(f"CALLGATE_TOKEN=$ROSA {accept}")
    printed = await up.shell(call)
    assert "was declined" in printed
    assert "4111 1111" not in printed


@pytest.mark.parametrize("setting", ["url", "hold", "hosts", "origins", "scopes", "sessions", "session_idle"])
def test_every_setting_is_told(setting: str) -> None:
    from callgate.ingress_settings import McpSettings

    assert set(McpSettings.model_fields) == {"url", "hold", "hosts", "origins", "scopes", "sessions", "session_idle"}
    (table,) = re.findall(r"^\| setting \|.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert f"`{setting}`" in table or f"`ingress.mcp.{setting}`" in table
