"""A server's `CallToolResult` as the JSON that is recorded, masked and given back. Pure.

It keeps what MCP defines and drops the rest: a member that nobody knows could carry past masking what a client reads.
Bytes in base64 stand where MCP puts them and are bytes for sure, since masking does not look through them.
"""

import base64
import binascii
from typing import Any, Final, Literal

import orjson

Binary = Literal["carry", "withhold"]

BLOCKS: Final = 1000
"""Content blocks of one result."""
_KEPT: Final = {
    "text": ("text", "annotations"),
    "image": ("data", "mimeType", "annotations"),
    "audio": ("data", "mimeType", "annotations"),
    "resource_link": ("uri", "name", "title", "description", "mimeType", "size", "annotations"),
}
_RESOURCE: Final = ("uri", "mimeType", "text")


class BadResult(ValueError):
    """An answer that is no result of a tool: `malformed`, or `input_required` where the server asks for more."""

    def __init__(self, code: Literal["malformed", "input_required"]) -> None:
        super().__init__(code)
        self.code = code


def result_body(raw: dict[str, Any], binary: Binary) -> tuple[bytes, bool]:
    """The recorded JSON, and whether the tool says that it failed. BadResult."""
    if raw.get("resultType", "complete") != "complete":
        raise BadResult("input_required" if raw["resultType"] == "input_required" else "malformed")
    content, failed = raw.get("content", []), raw.get("isError", False)
    if not isinstance(content, list) or len(content) > BLOCKS or not isinstance(failed, bool):
        raise BadResult("malformed")
    result: dict[str, Any] = {"content": [_block(block, binary) for block in content], "isError": failed}
    if raw.get("structuredContent") is not None:
        result["structuredContent"] = raw["structuredContent"]
    try:
        return orjson.dumps(result), failed
    except (TypeError, ValueError):  # an integer beyond 64 bits, half a surrogate pair
        raise BadResult("malformed") from None


def failure_body(text: str) -> bytes:
    """A failure that is no tool's own result, as one."""
    return orjson.dumps({"content": [_text(text)], "isError": True})


def _block(block: Any, binary: Binary) -> dict[str, Any]:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "resource":
        return _resource(block, binary)
    if not isinstance(kind, str) or kind not in _KEPT:
        return _text("(content of a kind that is not carried)")
    kept = {"type": kind} | {name: block[name] for name in _KEPT[kind] if block.get(name) is not None}
    if "data" in _KEPT[kind]:
        size = _size(kept.get("data"))
        if size is None:
            return _text(f"({kind} that cannot be read)")
        if binary == "withhold":
            return _text(f"({kind} of {size} bytes, withheld)")
    return kept


def _resource(block: dict[str, Any], binary: Binary) -> dict[str, Any]:
    said = block.get("resource")
    if not isinstance(said, dict):
        return _text("(a resource that cannot be read)")
    resource = {name: said[name] for name in _RESOURCE if said.get(name) is not None}
    if said.get("blob") is not None:
        size = _size(said["blob"])
        if size is None:
            return _text("(a resource that cannot be read)")
        if binary == "withhold":
            return _text(f"(a resource of {size} bytes, withheld)")
        resource["blob"] = said["blob"]
    kept = {"type": "resource", "resource": resource}
    return kept | ({"annotations": block["annotations"]} if block.get("annotations") is not None else {})


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _size(data: Any) -> int | None:
    """Bytes that base64 stands for; None where it is none."""
    try:
        return len(base64.b64decode(data, validate=True)) if isinstance(data, str) else None
    except (binascii.Error, ValueError):
        return None
