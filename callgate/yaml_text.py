"""YAML as settings are written in it: no name stands twice, and every name is text."""

from pathlib import Path
from typing import Any

import yaml

from callgate.errors import ConfigurationError

_KEY_TAGS = frozenset({"tag:yaml.org,2002:str", "tag:yaml.org,2002:merge"})


def read_yaml(path: Path, text: str) -> tuple[Any, dict[str, Any]]:
    """The text as nodes, which know their lines, and as a mapping. ConfigurationError names file and line."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _require_plain_keys(path, node)
        document = yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigurationError("bad_yaml", f"{path}:{line}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, ValueError):  # a character that YAML knows not; a date such as 2026-99-99
        raise ConfigurationError("bad_yaml", f"{path}: not YAML; it must be plain text") from None
    if not isinstance(document, dict):
        raise ConfigurationError("bad_yaml", f"{path}:1: the file must be a mapping, e.g. `deployment: local`")
    return node, document


def _require_plain_keys(path: Path, root: Any) -> None:
    """Refuses a name written twice, of which YAML would silently drop one, and names that YAML takes for no text."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        if not isinstance(node, yaml.MappingNode):
            continue
        names: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag not in _KEY_TAGS:
                raise ConfigurationError("bad_yaml", f"{path}:{line}: a name here must be text; put it in quotes")
            if key.value in names:
                raise ConfigurationError("bad_yaml", f"{path}:{line}: {key.value} stands here twice; keep one")
            names.add(key.value)
            waiting.append(value)
