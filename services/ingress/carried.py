"""Results of other MCP servers' tools, as outcomes carry them: for models that read text. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson

from contracts.tools import RESULT_TYPE


def is_carried(result: Mapping[str, Any], body: Any) -> bool:
    """Whether the body of an outcome's result is a masked `CallToolResult`."""
    return (
        result.get("content_type") == RESULT_TYPE and isinstance(body, dict) and isinstance(body.get("content"), list)
    )


def text_in(body: Mapping[str, Any]) -> str:
    """What a model reads of it: the texts, and a word for what is none; structured results where that is all."""
    if not body["content"] and body.get("structuredContent") is not None:
        return orjson.dumps(body["structuredContent"]).decode()
    return "\n".join(_said(block) for block in body["content"]) or "(no content)"


def _said(block: Any) -> str:
    if not isinstance(block, dict):
        return str(block)
    resource = block.get("resource")
    text = resource.get("text") if isinstance(resource, dict) else block.get("text")
    if isinstance(text, str):
        return text
    return f"({block.get('type', 'content')} {block.get('uri') or block.get('mimeType') or ''})".replace(" )", ")")
