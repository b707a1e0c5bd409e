"""`callgate mask`, as its users type it; what cannot be read is an error, and errors quote nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from callgate.errors import ConfigurationError
from cli import mask_bench, mask_lines, mask_table
from cli.mask_commands import app
from cli.timing import processor_time
from services.masking.catalogue import entities

CARD, MAIL = "4111 1111 1111 1111", "jane.roe@example.com"
CONFIG = """\
deployment: test
masking:
  strategies: {default: redact, entities: {EMAIL_ADDRESS: partial, CREDIT_CARD: token}}
  detectors:
    - {entity: EMPLOYEE_ID, pattern: '\\bEMP-(\\d{6})\\b', examples: {match: [EMP-004211], no_match: [EMP-42]}}
  deny: [{entity: CODE_NAME, values: [Project Bluebird]}]
  allow: ["4242 4242 4242 4242"]
  disable: [IP_ADDRESS]
connections:
  shop:
    base_url: http://127.0.0.1:1
    functions:
      order:
        method: POST
        path: /orders
        input:
          type: object
          properties:
            who: {type: string, x-callgate-mask: PERSON}
            reference: {type: string, x-callgate-mask: never}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Without a callgate.yaml."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CALLGATE_CONFIG", raising=False)
    return tmp_path


@pytest.fixture
def config(folder: Path) -> Path:
    path = folder / "own.yaml"
    path.write_text(CONFIG)
    return path


def run(*args: str, stdin: str | bytes = b"") -> Result:
    return CliRunner().invoke(app, list(args), input=stdin)


def printed(*args: str, stdin: str | bytes = b"") -> Any:
    result = run(*args, stdin=stdin)
    assert (result.exit_code, result.stderr) == (0, "")
    return json.loads(result.stdout)


# Documents


def test_a_document_from_standard_input() -> None:
    value = {"to": MAIL, "amount": 1.50, "card": {"number": 4111111111111111}, "note": f"pay {CARD} today"}
    assert printed(stdin=json.dumps(value)) == {
        "to": "[EMAIL_ADDRESS]",
        "amount": 1.5,
        "card": {"number": "[CREDIT_CARD]"},
        "note": "pay [CREDIT_CARD] today",
    }
    assert run(stdin='{"a":1.50,"b":1e400}').stdout == '{"a":1.50,"b":1e400}\n'


@pytest.mark.parametrize("name", ["order.json", "document"])
def test_a_document_from_a_file(folder: Path, name: str) -> None:
    (folder / name).write_text(json.dumps({"to": MAIL}))
    assert printed("./" + name) == {"to": "[EMAIL_ADDRESS]"}
    assert printed("document", name) == {"to": "[EMAIL_ADDRESS]"}


def test_a_text_changes_in_what_was_found_alone() -> None:
    result = run(stdin=f"Dear Jane,\r\n\tyour card {CARD} — é\n")
    assert result.stdout_bytes.decode() == "Dear Jane,\r\n\tyour card [CREDIT_CARD] — é\n"


def test_what_looks_like_json_and_is_none_is_no_text_unless_the_user_says_so() -> None:
    broken = f'{{"to": "{MAIL}"'
    result = run(stdin=broken)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "--text" in result.stderr
    assert MAIL not in result.stderr
    assert run("--text", stdin=broken).stdout == '{"to": "[EMAIL_ADDRESS]"'


@pytest.mark.parametrize("options", [[], ["--text"], ["--stream"]])
def test_nothing_comes_of_nothing(options: list[str]) -> None:
    result = run(*options)
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("options", [[], ["--text"], ["--stream"]])
@pytest.mark.parametrize("data", [b'{"card": "4111111111111111\xff"}', f"card {CARD} \xe9".encode("latin-1")])
def test_what_is_not_utf8_is_not_printed(options: list[str], data: bytes) -> None:
    result = run(*options, stdin=data)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "UTF-8" in result.stderr
    assert "4111" not in result.stderr


def test_what_cannot_be_inspected_is_withheld_and_told() -> None:
    result = run(stdin=json.dumps({"a": {"b": CARD}, "c": "x" * (1024 * 1024 + 1)}))
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"a": {"b": "[CREDIT_CARD]"}, "c": "[UNINSPECTABLE]"}
    assert "too_large" in result.stderr


def test_explanations_name_place_entity_and_evidence_and_no_value() -> None:
    value = {"to": MAIL, "customer": {"ssn": 536228726}, f"key of {MAIL}": f"call {CARD}"}
    result = run("--explain", stdin=json.dumps(value))
    lines = result.stderr.splitlines()
    assert any(line.startswith("/to 0-20 EMAIL_ADDRESS ") for line in lines)
    assert any(line.startswith("/customer/ssn 0-9 US_SSN ") for line in lines)
    assert all(": " in line and line.rpartition(": ")[2] for line in lines)
    for raw in (MAIL, "jane", "536228726", CARD, "1111"):
        assert raw not in result.stderr
        assert raw not in result.stdout
    assert run("--explain", stdin=f"mail {MAIL}").stderr.startswith("(the text) 5-25 EMAIL_ADDRESS ")


# Lines


def test_an_answer_a_line_and_a_bad_line_stops_nothing() -> None:
    lines = [{"card": CARD}, "not JSON " + MAIL, "", "text " + MAIL, 4111111111111111]
    text = "\n".join(line if line in ("", "not JSON " + MAIL) else json.dumps(line) for line in lines)
    result = run("--jsonl", stdin=text)
    answers = [json.loads(line) for line in result.stdout.splitlines() if line]
    assert result.exit_code == 1
    assert answers[0] == {
        "masked": {"card": "[CREDIT_CARD]"},
        "findings": [
            {
                "path": "/card",
                "entity": "CREDIT_CARD",
                "start": 0,
                "end": 19,
                "score": answers[0]["findings"][0]["score"],
            }
        ],
    }
    assert answers[1] == {"masked": None, "findings": [], "error": "syntax"}
    assert answers[2]["masked"] == "text [EMAIL_ADDRESS]"
    assert [answers[2]["findings"][0][key] for key in ("path", "start", "end")] == ["", 5, 25]
    assert answers[3]["masked"] == "[CREDIT_CARD]"
    assert len(answers) == 4
    assert "line 2 " in result.stderr
    assert MAIL not in result.stderr


def test_a_blank_line_stays_one_so_that_line_numbers_agree() -> None:
    result = run("--jsonl", stdin=f'{{"to": "{MAIL}"}}\n\n  \r\n{{"a": 1}}\n')
    lines = result.stdout.split("\n")
    assert [bool(line) for line in lines] == [True, False, False, True, False]
    assert json.loads(lines[3])["masked"] == {"a": 1}
    assert result.exit_code == 0


def test_lines_say_why_and_what_was_withheld() -> None:
    large = json.dumps("x" * (1024 * 1024 + 1))
    result = run("--jsonl", "--explain", stdin=f'{{"ssn": "536-22-8726"}}\n{large}\n')
    first, second = map(json.loads, result.stdout.splitlines())
    assert first["findings"][0]["evidence"]
    assert second["uninspectable"] == ["too_large"]


def test_spans_count_code_points_of_the_decoded_leaf() -> None:
    answer = printed("--jsonl", stdin='{"note": "\\ud83d\\ude00 \\u00e9 4111-1111-1111-1111"}')
    assert answer["masked"] == {"note": "😀 é [CREDIT_CARD]"}
    assert (answer["findings"][0]["start"], answer["findings"][0]["end"]) == (4, 23)


def test_a_huge_line_is_refused_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_lines, "LONGEST_LINE", 1000)
    huge = json.dumps({"card": CARD, "x": "y" * 200_000})
    result = run("--jsonl", stdin=f'{{"a": 1}}\n{huge}\n{{"to": "{MAIL}"}}\n{huge}')
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer.get("error") for answer in answers] == [None, "too_large", None, "too_large"]
    assert answers[2]["masked"] == {"to": "[EMAIL_ADDRESS]"}
    assert result.exit_code == 1
    assert "line 2 " in result.stderr
    assert "line 4 " in result.stderr


def test_a_line_of_a_megabyte_is_masked() -> None:
    rows = [{"to": MAIL, "n": number} for number in range(2000)]
    text = json.dumps([*rows, {"pad": "x y " * 90_000}])
    assert len(text) > 400_000
    answer = printed("--jsonl", stdin=text)
    assert MAIL not in json.dumps(answer)
    assert len(answer["findings"]) == 2000


def test_lines_are_json_values() -> None:
    result = run("--jsonl", "--text")
    assert result.exit_code == 2
    assert "--text" not in result.stdout


# Streams


def test_a_stream_is_masked_as_the_whole_text_is() -> None:
    text = "".join(f"{n}: {MAIL} paid with {CARD} from 10.1.2.{n % 250}, é😀\n" for n in range(400))
    result = run("--stream", stdin=text)
    assert result.exit_code == 0
    assert result.stdout_bytes.decode() == "".join(
        f"{n}: [EMAIL_ADDRESS] paid with [CREDIT_CARD] from [IP_ADDRESS], é😀\n" for n in range(400)
    )


@pytest.mark.parametrize("options", [["--jsonl"], ["--explain"], ["--function", "shop.order"]])
def test_a_stream_is_plain_text(options: list[str]) -> None:
    assert run("--stream", *options).exit_code == 2


# Configurations


def test_the_operators_own_detectors_lists_and_strategies(config: Path) -> None:
    value = {
        "a": f"EMP-004211 of project bluebird wrote {MAIL}",
        "b": "4242424242424242",
        "c": "from 10.1.2.3",
        "d": CARD,
    }
    assert printed("--config", str(config), stdin=json.dumps(value)) == {
        "a": "EMP-[EMPLOYEE_ID] of [CODE_NAME] wrote ***@example.com",
        "b": "4242424242424242",
        "c": "from 10.1.2.3",
        "d": "[CREDIT_CARD]",  # a token belongs to a session, and there is none here
    }


def test_a_stream_with_the_operators_own(config: Path) -> None:
    text = f"EMP-004211 wrote {MAIL} from 10.1.2.3"
    assert run("--stream", "--config", str(config), stdin=text).stdout == (
        "EMP-[EMPLOYEE_ID] wrote ***@example.com from 10.1.2.3"
    )


def test_a_callgate_yaml_in_the_folder_counts(folder: Path, config: Path) -> None:
    config.rename(folder / "callgate.yaml")
    assert printed(stdin='"EMP-004211"') == "EMP-[EMPLOYEE_ID]"


def test_arguments_of_a_function(config: Path) -> None:
    value = {"who": "x", "reference": CARD, "note": CARD}
    assert printed("--function", "shop.order", "--config", str(config), stdin=json.dumps(value)) == {
        "who": "[PERSON]",
        "reference": CARD,
        "note": "[CREDIT_CARD]",
    }


def test_a_mistyped_annotation_is_named(config: Path) -> None:
    config.write_text(CONFIG.replace("x-callgate-mask: PERSON", "x-callgate-mask: Never"))
    detail = _error("--function", "shop.order", "--config", str(config)).detail
    assert "functions.order.input.properties.who.x-callgate-mask: must be an entity in capitals" in str(detail)


def test_errors_say_what_there_is(config: Path, folder: Path) -> None:
    assert "shop.order" in str(_error("--function", "shop.nothing", "--config", str(config)).detail)
    assert "missing.json" in str(_error("missing.json").detail)
    assert _error(str(folder)).code == "no_document"
    assert _error("--config", "missing.yaml").detail
    config.write_text(CONFIG.replace("match: [EMP-004211]", "match: ['4111111111111111']"))
    wrong = _error("--config", str(config))
    assert "EMPLOYEE_ID" in str(wrong.detail)
    assert "4111111111111111" not in str(wrong.detail)


def _error(*args: str) -> ConfigurationError:
    error = run(*args).exception
    assert isinstance(error, ConfigurationError)
    return error


# What is found, and how fast


def test_entities_are_listed_with_their_evidence() -> None:
    result = run("entities")
    assert {line.split()[0] for line in result.stdout.splitlines()} == entities()
    assert all(len(line.split()) > 2 for line in result.stdout.splitlines())
    assert run("entities", "--markdown").stdout == mask_table.table()


def test_docs_masking_md_has_the_table_of_what_is_found() -> None:
    document = mask_table.DOCUMENT.read_text(encoding="utf-8")
    assert mask_table.written(document) == document, "run `python -m cli.mask_table`"
    with pytest.raises(ValueError, match="no place"):
        mask_table.written("# Masking\n")


def test_bench_prints_a_line_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mask_bench, "processor_time", lambda work: processor_time(work, rounds=1, seconds=0.001))
    lines = run("bench").stdout.splitlines()
    assert len(lines) == 5
    for line, (name, text) in zip(lines[1:], mask_bench.documents().items(), strict=True):
        assert line.startswith(name)
        assert f"{len(text)} bytes  {5 if 'five' in name else 0:>2} findings" in line
        assert line.count(" ms") == 2


@pytest.mark.parametrize(
    ("size", "least", "most"), [("1 KB", 950, 1050), ("10 KB", 9500, 10_500), ("1 MB", 990_000, 1_060_000)]
)
def test_measured_documents_are_as_large_as_they_are_called(size: str, least: int, most: int) -> None:
    texts = mask_bench.documents(size)
    assert len(texts) == 2
    assert all(least <= len(text) <= most for text in texts.values())


def test_help_teaches() -> None:
    text = " ".join(run("--help").stdout.split())
    assert "--jsonl" in text
    assert "entities" in text
    options = run("document", "--help").stdout
    for option in ("--jsonl", "--text", "--stream", "--explain", "--function", "--config"):
        assert option in options
