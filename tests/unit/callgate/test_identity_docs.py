"""docs/identity.md and docs/codes.md say what is true: the examples load, and every code is there."""

import re
from pathlib import Path

import yaml

from callgate.identity.errors import Refusal
from callgate.limit_settings import LimitSettings
from callgate.settings import IdentitySettings

ROOT = Path(__file__).parents[3]


def examples() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/identity.md").read_text(), re.DOTALL)


def test_every_example_is_a_configuration() -> None:
    issuers, limits = 0, 0
    for text in examples():
        found = yaml.safe_load(text)
        if isinstance(found, list):  # one more issuer of the list
            found = {"identity": {"issuers": found}}
        for number, limit in enumerate(found.get("limits", [])):
            LimitSettings.model_validate(limit)
            limits += number + 1
        if "identity" in found:
            issuers += len(IdentitySettings.model_validate(found["identity"]).issuers)
    assert (issuers, limits > 0) == (3, True)


def test_every_code_of_a_refusal_is_explained() -> None:
    listed = set(re.findall(r"^\| `([a-z_]+)` \|", (ROOT / "docs/codes.md").read_text(), re.MULTILINE))
    assert {refusal.value for refusal in Refusal} | {"rate_limited", "too_many_calls"} <= listed
