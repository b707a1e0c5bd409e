"""What is suspicious in a tool's definition, for whoever is to accept it. Pure.

A model reads descriptions as it reads its instructions, so a server may hide orders there ("tool poisoning"). No list
of phrases finds them all: a definition without a warning is still to be read.
"""

import re
from typing import Final

from contracts.tools import ToolDefinition, hidden_characters, texts_of
from services.approval.lookalikes import lookalikes

LONG: Final = 2000
"""Characters of a description that nobody needs."""

_SUSPICIOUS: Final = (
    (
        re.compile(
            r"\b(ignore|disregard|forget|override)\b.{0,40}\b(instruction|previous|above|rule|policy|polic|prompt)"
            r"|\bsystem\s*(prompt|message|:)|</?\s*(important|system|instructions?|secret|hidden)\b"
            r"|\b(you|the (assistant|model|agent)) (must|should|shall|have to|need to)\b",
            re.IGNORECASE | re.DOTALL,
        ),
        "it gives instructions to the model",
    ),
    (
        re.compile(
            r"\b(do not|don't|never|without)\b.{0,30}\b(tell|mention|inform|show|reveal|ask(ing)?|notify)",
            re.IGNORECASE | re.DOTALL,
        ),
        "it asks for silence towards people",
    ),
    (
        re.compile(
            r"\b(before|after|instead of|whenever|every time)\b.{0,40}\b(using|calling|invoking|call|use)\b"
            r".{0,40}\b(tool|function|other)",
            re.IGNORECASE | re.DOTALL,
        ),
        "it speaks of the use of other tools",
    ),
    (
        re.compile(
            r"~/\.|/etc/|\.ssh|id_rsa|\.env\b|\b(password|credential|api[ _-]?key|private key|access token)s?\b",
            re.IGNORECASE,
        ),
        "it speaks of credentials, or of files that hold them",
    ),
    (re.compile(r"(https?|ftp|data|javascript):[^\s]{3,}", re.IGNORECASE), "it holds an address"),
    (re.compile(r"[A-Za-z0-9+/]{80,}={0,2}"), "it holds a long run of encoded text"),
)


def warnings_of(definition: ToolDefinition, before: ToolDefinition | None) -> tuple[str, ...]:
    """In words, the gravest first; `before` is what was accepted."""
    texts = list(texts_of(definition.model_dump(mode="json", exclude={"hints"})))
    whole = "\n".join(texts)
    found = ["it holds characters that people do not see and models read"] if hidden_characters(definition) else []
    found += [words for pattern, words in _SUSPICIOUS if pattern.search(whole)]
    if any(lookalikes(text) for text in texts):
        found.append("it holds letters that pass for others")
    if len(definition.description) > LONG:
        found.append("its description is very long")
    return (*found, *_changed(definition, before))


def _changed(now: ToolDefinition, before: ToolDefinition | None) -> tuple[str, ...]:
    if before is None:
        return ()
    found = []
    if now.tool != before.tool:
        found.append("the function is another of the server's tools now")
    if before.hints.read_only and not now.hints.read_only:
        found.append("it was said to be read-only, and is no more")
    if now.hints.destructive and not before.hints.destructive:
        found.append("it is said to be destructive now")
    added = sorted(set(now.input.get("properties", {})) - set(before.input.get("properties", {})))
    return (*found, *([f"it takes {len(added)} more of parameters than before"] if added else ()))
