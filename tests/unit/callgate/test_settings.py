"""callgate.yaml: the environment wins, paths are the file's, and every error says where and what to do."""

from pathlib import Path

import pytest

from callgate.errors import ConfigurationError
from callgate.settings import Settings, load, mistyped

EXAMPLE = Path(__file__).parents[3] / "callgate.yaml"


def written(folder: Path, text: str) -> Path:
    path = folder / "callgate.yaml"
    path.write_text(text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load(path)
    return refused.value.detail


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.upper().startswith("CALLGATE_")]:
        monkeypatch.delenv(name)


def test_the_example_is_valid() -> None:
    settings = load(EXAMPLE)
    assert len(settings.catalog) > 0
    assert settings.connections["crm"].credential is not None


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ""))
    assert settings.deployment == "local"
    assert settings.keys_folder == tmp_path / ".callgate" / "keys"
    assert len(settings.catalog) == 0


def test_the_environment_wins_section_by_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(
        tmp_path,
        """
listen: 127.0.0.1:1
broker: {url: "nats://file:4222", shards: 4, ack_wait: 7}
connections:
  crm: {base_url: "http://file", functions: {read: {path: /read}}}
""",
    )
    monkeypatch.setenv("CALLGATE_LISTEN", "127.0.0.1:2")
    monkeypatch.setenv("CALLGATE_BROKER__URL", "nats://env:4222")
    monkeypatch.setenv("CALLGATE_BROKER__SHARDS", "8")
    monkeypatch.setenv("CALLGATE_CONNECTIONS__CRM__BASE_URL", "https://env")
    settings = load(path)
    assert settings.listen == "127.0.0.1:2"
    assert (settings.broker.url, settings.broker.shards, settings.broker.ack_wait) == ("nats://env:4222", 8, 7)
    assert settings.connections["crm"].base_url == "https://env"
    assert settings.catalog.get("crm.read") is not None


def test_an_override_of_the_command_wins_over_the_file(tmp_path: Path) -> None:
    assert load(written(tmp_path, "listen: 127.0.0.1:1"), {"listen": "127.0.0.1:9"}).listen == "127.0.0.1:9"


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load(written(tmp_path, ""))
    with pytest.raises(ValueError, match="frozen"):
        settings.listen = "elsewhere"  # type: ignore[misc]


def test_relative_paths_are_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    path = written(
        folder,
        """
state: state
keys: ../keys
policy: {folder: cedar}
broker: {tls_ca: ca.pem}
development: {upstream_token: token}
connections:
  crm: {base_url: "http://x", credential: {file: crm.token}, functions: {read: {path: /read}}}
  pay: {base_url: "http://x", credential: {file: /run/secrets/pay}, functions: {read: {path: /read}}}
  open: {base_url: "http://x", credential: {env: TOKEN}, functions: {read: {path: /read}}}
""",
    )
    monkeypatch.chdir(tmp_path)
    for given in (path, path.relative_to(tmp_path)):
        settings = load(given)
        here = given.parent
        assert settings.state == here / "state"
        assert settings.keys_folder == here / "../keys"
        assert settings.policy.folder == here / "cedar"
        assert settings.broker.tls_ca == here / "ca.pem"
        assert settings.development is not None
        assert settings.development.upstream_token == here / "token"
        files = {name: c.credential.file for name, c in settings.connections.items() if c.credential}
        assert files == {"crm": here / "crm.token", "pay": Path("/run/secrets/pay"), "open": None}


# Errors: where, what, and what to write instead


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("deployment: local\nbrokr: {}\n", 2, "brokr is no setting; remove it or mend its spelling"),
        ("broker:\n  epoch: 1\n  shard: 2\n", 3, "broker.shard is no setting"),
        ("broker:\n  shards: many\n", 2, "broker.shards: "),
        ("broker:\n  shards: 65\n", 2, "less than or equal to 64"),
        ("broker:\n  replicas: 2\n", 2, "1, 3 or 5"),
        ("deployment: Not Good\n", 1, "deployment: "),
        ("telemetry:\n  level: loud\n", 2, "'debug', 'info', 'warning' or 'error'"),
        ("connections:\n  crm:\n    base_url: nowhere\n    functions: {r: {path: /}}\n", 3, "must be http(s)://"),
        (
            "connections:\n  crm:\n    base_url: http://x\n    functions:\n      read:\n        path: read\n",
            5,
            "must start with '/'",
        ),
        ("connections:\n  crm:\n    base_url: http://x\n    functions: {}\n", 4, "at least 1"),
        ("connections:\n  crm:\n    base_url: http://x\n", 2, "functions: is missing"),
        ("deployment: x\nlisten: 127.0.0.1:808o\n", 2, "listen: must be host:port with a port from 0"),
        ("listen: 8080\n", 1, "listen: must be host:port"),
        ('broker: {url: "localhost:4222"}\n', 1, "broker.url: must be nats://host:port"),
        ("broker:\n", 1, "broker: must be a section"),
        ("public_url: callgate.example\n", 1, "public_url: must be a URL"),
        ("development:\n  issuer: 0.0.0.0:8082\n", 2, "must listen on loopback"),
        ("development:\n  mcp: 0.0.0.0:8083\n", 2, "must listen on loopback"),
        ("identity:\n  issuers: {issuer: x}\n", 2, "identity.issuers: must be a list"),
        (
            'connections:\n  CRM: {base_url: "http://x", functions: {r: {path: /}}}\n',
            2,
            "connections.CRM: must be lower-case",
        ),
        (
            "identity:\n  issuers:\n    - issuer: https://x\n      audience: a\n      nonsense: 1\n",
            5,
            "nonsense is no setting",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = written(tmp_path, text)
    detail = refusal(path)
    assert detail.startswith(f"{path}:{line}: ")
    assert says in detail


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    detail = refusal(written(tmp_path, "nonsense: 1\nbroker:\n  shards: many\n"))
    assert len(detail.splitlines()) == 2


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("a: [1,\n", 2, ""),
        ("listen: {\n", 2, ""),
        ("\tlisten: x\n", 1, "cannot start any token"),
        ("- 1\n- 2\n", 1, "must be a mapping"),
        ("just text\n", 1, "must be a mapping"),
        ("listen: a\nlisten: b\n", 2, "listen stands here twice"),
        ("broker:\n  url: a\n  epoch: 1\n  url: b\n", 4, "url stands here twice"),
        ("true: 1\n", 1, "must be text; put it in quotes"),
        ("connections:\n  1: {}\n", 2, "must be text; put it in quotes"),
    ],
)
def test_what_is_no_such_yaml_is_named_with_its_line(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = written(tmp_path, text)
    detail = refusal(path)
    assert detail.startswith(f"{path}:{line}: ")
    assert says in detail


@pytest.mark.parametrize("text", ["a: \x00", "a: \x07", "a: 2026-99-99"])
def test_what_yaml_cannot_hold_is_refused(tmp_path: Path, text: str) -> None:
    assert "not YAML" in refusal(written(tmp_path, text))


def test_an_alias_that_holds_itself_ends(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        load(written(tmp_path, "a: &x\n  b: *x\n"))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "is missing; name another with --config" in refusal(tmp_path / "callgate.yaml")
    assert "cannot be read" in refusal(tmp_path)
    path = tmp_path / "callgate.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    assert "UTF-8" in refusal(path)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("CALLGATE_BROKER__SHARDS", "many", "broker.shards: "),
        ("CALLGATE_BROKER__NONSENSE", "1", "broker.nonsense is no setting"),
        ("CALLGATE_DEPLOYMENT", "Not Good", "deployment: "),
        ("CALLGATE_BROKER", "{not json", "must be JSON"),
    ],
)
def test_a_wrong_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    detail = refusal(written(tmp_path, "broker:\n  epoch: 1\n"))
    assert detail.startswith(f"environment {name}: ")
    assert says in detail


def test_errors_do_not_quote_what_was_written(tmp_path: Path) -> None:
    secret = "s3cr3t-token-that-does-not-belong-here"
    for text in (
        f"broker:\n  shards: {secret}\n",
        f"connections:\n  crm:\n    credential: {secret}\n    base_url: http://x\n",
    ):
        assert secret not in refusal(written(tmp_path, text))


def test_the_settings_class_reads_no_file_and_no_dotenv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("CALLGATE_LISTEN=127.0.0.1:9\n")
    monkeypatch.chdir(tmp_path)
    assert Settings().listen == "127.0.0.1:8080"


def test_a_strategy_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    text = "masking:\n  strategies:\n    entities:\n      CREDIT_CARD: token\n      US_SSN: shred\n"
    said = refusal(written(tmp_path, text))
    assert "callgate.yaml:5: masking.strategies.entities.US_SSN" in said
    assert "'redact', 'partial', 'hash', 'token', 'drop' or 'keep'" in said
    assert "masking.strategies.default" in refusal(written(tmp_path, "masking: {strategies: {default: keep}}\n"))


# The functions' JSON Schemas


FUNCTION = """connections:
  crm:
    base_url: http://x
    functions:
      read:
        path: /
        input:
          type: object
          properties:
            id: {type: string}
"""


@pytest.mark.parametrize(
    ("more", "line", "says"),
    [
        ("            name:\n              type: strng\n", 12, "input.properties.name.type: must be array, boolean, "),
        ("            name:\n              minLength: 'one'\n", 12, "name.minLength: must be of type integer"),
        ("            name:\n              minLength: -1\n", 12, "name.minLength: is not what JSON Schema"),
        ("            name:\n              pattern: (\n", 12, "name.pattern: is no regular expression"),
        ("            name:\n              $ref: '#/$defs/nme'\n", 12, "name.$ref: must refer to what stands in"),
        ("            name:\n              $ref: http://x/y.json\n", 12, "name.$ref: must refer to what stands in"),
        ("          required: id\n", 11, "input.required: must be of type array"),
        ("            name:\n              x-callgate-maks: PERSON\n", 12, "do you mean x-callgate-mask?"),
        (
            "            name:\n              x-callgate-hide: PERSON\n",
            12,
            "x-callgate-hide: is no annotation",
        ),
        ("            name:\n              x-callgate-mask: Person\n", 12, "mask: must be an entity in capitals"),
        ("            name:\n              x-callgate-accepts: PERSON\n", 12, "x-callgate-accepts: must be a list of"),
        ("          $defs:\n            n: {x-callgate-mask: 7}\n", 12, "x-callgate-mask: must be an entity"),
        ("        output:\n          x-callgate-mask: [PERSON]\n", 12, "output.x-callgate-mask: must be an entity"),
        ("        output:\n          type: [object, nul]\n", 12, "output.type"),
    ],
)
def test_a_wrong_schema_of_a_function_is_named_with_its_line(tmp_path: Path, more: str, line: int, says: str) -> None:
    path = written(tmp_path, FUNCTION + more)
    detail = refusal(path)
    assert detail.startswith(f"{path}:{line}: connections.crm.functions.read.")
    assert says in detail


def test_annotations_as_they_must_be_and_names_that_only_look_like_one(tmp_path: Path) -> None:
    more = """            name: {type: string, x-callgate-mask: PERSON, x-callgate-accepts: [PERSON, MY_OWN]}
            x-callgate-maks: {type: string, x-callgate-mask: never, default: {x-callgate-maks: PERSON}}
"""
    assert load(written(tmp_path, FUNCTION + more)).catalog.get("crm.read") is not None


@pytest.mark.parametrize("target", ["#/$defs/name", "#/properties/id", "#", "#/allOf/0"])
def test_a_reference_within_the_schema_is_fine(tmp_path: Path, target: str) -> None:
    more = f"            name: {{$ref: '{target}'}}\n"
    beside = "          $defs: {name: {type: string}}\n          allOf: [{}]\n"
    assert load(written(tmp_path, FUNCTION + more + beside)).catalog.get("crm.read") is not None


def test_of_several_references_the_lost_one_is_named(tmp_path: Path) -> None:
    more = "            name: {$ref: '#/properties/id'}\n            mail:\n              $ref: '#/allOf/7'\n"
    detail = refusal(written(tmp_path, FUNCTION + more + "          allOf: [{}]\n"))
    assert "callgate.yaml:13: connections.crm.functions.read.input.properties.mail.$ref" in detail


# Variables that say nothing to anybody


def test_variables_that_are_no_setting_are_named_with_the_nearest_that_is(tmp_path: Path) -> None:
    more = "    credential: {env: CALLGATE_CRM_SECRET}\n"
    settings = load(written(tmp_path, FUNCTION + more))
    environ = {
        "CALLGATE_BROKER_URL": "do you mean CALLGATE_BROKER__URL?",
        "CALLGATE_LISTN": "do you mean CALLGATE_LISTEN?",
        "callgate_telemtry__level": "do you mean CALLGATE_TELEMETRY__LEVEL?",
        "CALLGATE_QUX": "is no setting and does nothing",
    }
    fine = (
        "CALLGATE_CRM_SECRET",
        "CALLGATE_CONFIG",
        "CALLGATE_TOKEN",
        "CALLGATE_LISTEN",
        "CALLGATE_CONNECTIONS__CRM__TIMEOUT",
    )
    said = mistyped(settings, [*environ, *fine, "PATH", "CALLGATEX"])
    assert len(said) == len(environ)
    for name, expected in environ.items():
        assert any(line.startswith(f"{name} is no setting") and expected in line for line in said)


# Signing in

ISSUER = """
identity:
  issuers:
    - {issuer: https://a.example, audience: callgate, subject_prefix: "a:", sign_in: {client_id: pages%s}}
    - {issuer: https://b.example, audience: callgate, subject_prefix: "b:", sign_in: {client_id: pages, name: b}}
"""


def test_the_clients_secret_lies_beside_the_file_and_scopes_and_names_are_checked(tmp_path: Path) -> None:
    first, second = load(written(tmp_path, ISSUER % ", client_secret_file: secrets/a")).identity.issuers
    assert first.sign_in is not None
    assert first.sign_in.client_secret_file == tmp_path / "secrets/a"
    assert second.sign_in is not None
    assert second.sign_in.client_secret_file is None
    assert "must contain openid" in refusal(written(tmp_path, ISSUER % ", scopes: [profile]"))
    assert "have the same sign_in.name" in refusal(written(tmp_path, ISSUER % ", name: b"))
    assert "sign_in.client_secret" in refusal(written(tmp_path, ISSUER % ", client_secret: s3cret"))


PROXIED = """
connections:
  crm:
    base_url: http://crm.test
    proxy: {}
    functions:
      one: {path: "/x/{id}", input: {type: object, properties: {id: {type: string}}, required: [id]}}
      two: {path: "/x/{key}", input: {type: object, properties: {key: {type: string}}, required: [key]}}
"""


def test_functions_that_the_proxy_could_not_tell_apart_are_refused_with_their_line(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, PROXIED))
    assert "callgate.yaml:8: connections.crm.functions.two.path: POST /x/{key} and one's /x/{id} match" in said
    load(written(tmp_path, PROXIED.replace("    proxy: {}\n", "")))
    load(written(tmp_path, PROXIED.replace('two: {path: "/x', 'two: {method: PUT, path: "/x')))


def test_a_content_and_a_variable_that_are_none_are_explained(tmp_path: Path) -> None:
    said = refusal(written(tmp_path, PROXIED.replace('one: {path: "', 'one: {content: multipart/form-data, path: "')))
    assert "must be a JSON type, application/x-www-form-urlencoded or text/*" in said
    said = refusal(written(tmp_path, PROXIED.replace("proxy: {}", "proxy: {env: [not-a-name]}")))
    assert "must be the name of a variable" in said
