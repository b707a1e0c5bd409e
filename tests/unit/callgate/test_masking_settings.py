"""`masking:` in callgate.yaml: what is refused when the file is read, by line, and without quoting it."""

from pathlib import Path

import pytest

from callgate.errors import ConfigurationError
from callgate.settings import load


def written(folder: Path, text: str) -> Path:
    path = folder / "callgate.yaml"
    path.write_text(text)
    return path


def test_detectors_and_lists_are_read(tmp_path: Path) -> None:
    text = r"""
masking:
  detectors:
    - entity: STAFF_NO
      pattern: '\bE-(\d{5})\b'
      words: [staff number]
      examples: {match: [E-12345], no_match: [E-1]}
  deny:
    - {entity: CODE_NAME, file: lists/names.txt}
    - {entity: CODE_NAME, values: [Kestrel, 4711]}
  allow: [4242424242424242, {pattern: '4000[0-9]+', entities: [CREDIT_CARD]}]
  disable: [URL]
"""
    masking = load(written(tmp_path, text)).masking
    assert masking.detectors[0].examples.match == ("E-12345",)
    assert masking.deny[0].file == tmp_path / "lists" / "names.txt"
    assert masking.deny[1].values == ("Kestrel", "4711")
    assert masking.allow[0].values == ("4242424242424242",)
    assert masking.allow[1].entities == ("CREDIT_CARD",)
    assert masking.disable == ("URL",)


@pytest.mark.parametrize(
    ("line", "section", "why"),
    [
        (3, "  detectors:\n    - {entity: X, pattern: '(?<=sesame)x'}", "RE2"),
        (3, "  detectors:\n    - {entity: X, pattern: '(sesame)|(b)'}", "more than one group"),
        (3, "  detectors:\n    - {entity: X, pattern: '(sesame)?'}", "empty text"),
        (3, "  detectors:\n    - {entity: sesame, pattern: 'x'}", "pattern '^[A-Z]"),
        (3, "  detectors:\n    - {entity: X, pattern: 'x', score: 7}", "less than or equal to 1"),
        (3, "  detectors:\n    - {entity: X, pattern: 'x', sesame: 7}", "no setting"),
        (3, "  deny:\n    - {entity: SESAME_X}", "values or a file"),
        (3, "  deny:\n    - {entity: X, values: ['s']}", "at least 2"),
        (3, "  allow:\n    - {entities: [SESAME]}", "values or a pattern"),
        (2, "  allow: [{pattern: 'sesame('}]", "RE2"),
    ],
)
def test_what_is_wrong_is_named_by_line(tmp_path: Path, line: int, section: str, why: str) -> None:
    path = written(tmp_path, f"masking:\n{section}\n")
    with pytest.raises(ConfigurationError) as refused:
        load(path)
    assert refused.value.detail.startswith(f"{path}:{line}: masking.")
    assert why in refused.value.detail
    assert "sesame" not in refused.value.detail.replace("detectors.0.sesame", "")
