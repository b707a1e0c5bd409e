"""Credentials: what is found, whole, and what only looks or sounds like one."""

import base64
import string
from random import Random

import pytest
from finding import found, hits
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.randomness import entropy, random_looking, stand_in
from services.masking.entities.secrets import SECRETS

_random = Random(1)


def some(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    """Random, with a digit and a letter of each case at the end."""
    return "".join(_random.choice(alphabet) for _ in range(length - 3)) + ("7aB" if "B" in alphabet else "7a0")


HEX = "0123456789abcdef"
UPPER = string.ascii_uppercase + "234567"

TOKENS = [
    "AKIAIOSFODNN7EXAMPLE",
    "ASIA" + "ABCDEFGHIJKLMNOP",
    "AIza" + some(35),
    "ya29." + some(60),
    "GOCSPX-" + some(28),
    "1//0" + some(50),
    "abc8Q~" + some(34),
    "ghp_" + some(36),
    "gho_" + some(36),
    "github_pat_" + some(22) + "_" + some(59),
    "glpat-" + some(20),
    "ATBB" + some(32),
    "xoxb-123456789012-1234567890123-" + some(24),
    "xapp-1-A0123456-1234567890-" + some(24, HEX),
    "sk_live_" + some(24),
    "rk_test_" + some(24),
    "whsec_" + some(32),
    "sk-" + some(48),
    "sk-proj-" + some(60),
    "sk-ant-api03-" + some(60),
    "hf_" + some(34),
    "gsk_" + some(52),
    "npm_" + some(36),
    "pypi-AgEIcHlwaS5vcmc" + some(60),
    "dckr_pat_" + some(27),
    "SG." + some(22) + "." + some(43),
    "SK" + some(32, HEX),
    "AC" + some(32, HEX),
    "key-" + some(32, HEX),
    some(32, HEX) + "-us12",
    "dop_v1_" + some(64, HEX),
    "shpat_" + some(32, HEX),
    "sq0csp-" + some(43),
    "123456789:AA" + some(33),
    "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ." + some(27),
    "lin_api_" + some(40),
    "ntn_" + some(46),
    "dapi" + some(32, HEX),
    "hvs." + some(90),
    some(14) + ".atlasv1." + some(67),
    "NRAK-" + some(24, UPPER).upper() + "ABC",
    "glsa_" + some(32) + "_" + some(8, HEX),
    "sntrys_eyJ" + some(60),
    "sbp_" + some(40, HEX),
    "HRKU-" + some(58),
    "tskey-auth-" + some(12) + "-" + some(32),
    "pul-" + some(40, HEX),
]


@pytest.mark.parametrize("token", TOKENS, ids=lambda token: token[:10])
def test_an_issuers_token_is_found_whole_wherever_it_stands(token: str) -> None:
    for text in (token, f"use {token} here", f'"{token}",', f"({token})"):
        assert token in {value for _, value in found(text, SECRETS, "payload", "order_id")}, text


MARKED = [
    ("JWT", "⟦eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl⟧"),
    ("JWT", "unsecured ⟦eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.⟧ token"),
    (
        "JWT",
        "⟦eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4.XFBoMYUZodetZdvTiFvSkQ⟧",
    ),
    ("JWT", "id-⟦eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl⟧"),
    ("PASSWORD", "<server><password>⟦hunter2⟧</password></server>"),
    ("PASSWORD", '<input type="password" name="password" value="⟦hunter2⟧">'),
    ("PASSWORD", '<add key="Password" value="⟦hunter2⟧"/>'),
    ("PASSWORD", 'Content-Disposition: form-data; name="password"\r\n\r\n⟦hunter2⟧\r\n--b'),
    ("SECRET", "<clientSecret>⟦aB3xY9kQ2mZ8pL5wR7tU⟧</clientSecret>"),
    ("PRIVATE_KEY", "⟦-----BEGIN RSA PRIVATE KEY-----\nMIIabc\n-----END RSA PRIVATE KEY-----⟧\nend"),
    ("PRIVATE_KEY", "⟦-----BEGIN OPENSSH PRIVATE KEY-----\\nb3Blbn\\n-----END OPENSSH PRIVATE KEY-----⟧"),
    ("PRIVATE_KEY", "⟦-----BEGIN PGP PRIVATE KEY BLOCK-----\nabc\n-----END PGP PRIVATE KEY BLOCK-----⟧"),
    ("PRIVATE_KEY", "⟦---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nabc\n---- END SSH2 ENCRYPTED PRIVATE KEY ----⟧"),
    ("PRIVATE_KEY", "cut off: ⟦-----BEGIN PRIVATE KEY-----\nMIIabc⟧"),
    ("PRIVATE_KEY", "⟦PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\nabc⟧"),
    ("PRIVATE_KEY", "age: ⟦AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MU" * 2 + "⟧"),
    ("API_KEY", "Authorization: Bearer ⟦0123456789abcdef0123⟧"),
    ("PASSWORD", "Authorization: Basic ⟦YWxhZGRpbjpvcGVuc2VzYW1l⟧"),
    ("URL_CREDENTIALS", "postgres://app:⟦s3cr3t⟧@db.example.com/x"),
    ("URL_CREDENTIALS", "redis://:⟦p@ss⟧@10.0.0.1:6379"),
    ("URL_CREDENTIALS", "amqps://u%40x:⟦a:b!c⟧@mq/vhost and more"),
    ("API_KEY", "https://⟦0123456789abcdef0123456789abcdef⟧@o1.ingest.sentry.io/42"),
    ("API_KEY", "https://hooks.slack.com/services/⟦T00000000/B00000000/aB3xY9kQ2mZ8pL5wR7tUvW1z⟧"),
    ("API_KEY", "aws_secret_access_key = ⟦wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY⟧"),
    ("API_KEY", "DefaultEndpointsProtocol=https;AccountKey=⟦" + "aB3/" * 21 + "aB==⟧;EndpointSuffix=x"),
    ("API_KEY", "https://x.blob.core.windows.net/c?sv=2022&sig=⟦aB3xY9kQ2mZ8pL5wR7tUaB3xY9kQ2mZ8%3D⟧&se=1"),
    ("PASSWORD", "password=⟦hunter2⟧"),
    ("PASSWORD", "DB_PASSWORD=⟦foo⟧,user=b"),
    ("PASSWORD", "Server=a;Pwd=⟦ab;c1⟧;Database=b"),
    ("PASSWORD", 'password: "⟦correct horse battery⟧"'),
    ("PASSWORD", '{\\"password\\": \\"⟦x1y⟧\\", \\"a\\": 1}'),
    ("PASSWORD", "The password is ⟦hunter2⟧."),
    ("PASSWORD", "my wifi password is ⟦swordfish⟧"),
    ("PASSWORD", "set the password to ⟦Hunter22⟧ please"),
    ("PASSWORD", "contraseña: ⟦gato123⟧"),
    ("PASSWORD", "Passwort lautet ⟦Gehe1m!⟧"),
    ("PASSWORD", "mysql --password ⟦hunter2⟧ -h x"),
    ("PASSWORD", "curl -u bob:⟦hunter2⟧ https://example.com"),
    ("API_KEY", "api_key=⟦9f86d081884c7d659a2feaa0c55ad015⟧"),
    ("SECRET", "export CLIENT_SECRET='⟦aB3xY9kQ2mZ8pL5wR7tU⟧'"),
    ("SECRET", "token: ⟦550e8400-e29b-41d4-a716-446655440000⟧"),
    ("SECRET", "X-Signature: ⟦sha256=9f86d081884c7d659a2feaa0c55ad0159f86d081884c7d65⟧"),
]


@pytest.mark.parametrize(
    ("entity", "marked"), MARKED, ids=[f"{entity}-{index}" for index, (entity, _) in enumerate(MARKED)]
)
def test_what_says_that_it_is_a_secret_is_found(entity: str, marked: str) -> None:
    before, _, rest = marked.partition("⟦")
    value, _, after = rest.partition("⟧")
    assert (entity, value) in found(before + value + after, SECRETS, "note", lone=False)


CLEAN = [
    "password: {type: string, minLength: 8}",
    *(
        "password is required",
        "Password: required",
        "password=****",
        "password=<password>",
        "password: null",
        "password=",
    ),
    *(
        "the password is too short",
        "password must be at least 8 characters",
        "password: string",
        "Password: The new password",
    ),
    *(
        "password = os.environ['X']",
        "password: settings.db.password",
        "password=${DB_PASSWORD}",
        "password: {{ .Values.pw }}",
    ),
    *(
        "password=[PASSWORD]",
        "password=[\0\0\0\0\0]",
        "my password is wrong",
        "my password was changed",
        "PWD=/home/app",
    ),
    *(
        "https://u:[URL_CREDENTIALS]@h/x",
        "http://host:8080/a@b",
        "https://example.com/@user",
        "git@github.com:org/repo.git",
    ),
    *("next_page_token=aB3xY9kQ2mZ8pL5wR7tU", "token_hash=9f86d081884c7d659a2feaa0c55ad015", "max_tokens: 4096"),
    *("sha256:9f86d081884c7d659a2feaa0c55ad015", "commit 9f86d081884c7d659a2feaa0c55ad015aaaaaaaa", "etag W/0815"),
    *("9f86d081884c7d659a2feaa0c55ad015", "550e8400-e29b-41d4-a716-446655440000", "aB3xY9kQ2mZ8pL5wR7tUvW1zaB3xY9kQ"),
    *("sk-learn-based-classification-models2", "Basic understanding of things", "Bearer authentication-middleware"),
    *("secret: my-app-tls-secret-name-2024", "token is invalid-or-expired-by-now", "default-token-x7k2p mounted"),
    *(
        "-----BEGIN PUBLIC KEY-----\nMIIabc\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----",
        "eyJhbGciOiJIUzI1NiJ9",
    ),
    *("cache-key-9f86d081884c7d659a2feaa0c55ad015", "a signature of getUserAuthenticationTokenFromHeader", "MASKED=1"),
]


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_sounds_like_a_secret_is_left_alone(text: str) -> None:
    assert found(text, SECRETS, "note", lone=False) == set()
    assert found(text, SECRETS) == set()


def test_two_keys_in_one_text_are_two_findings() -> None:
    key = "-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----"
    assert len(hits(f"{key}\nand\n{key}", SECRETS)) == 2


def test_a_basic_header_needs_credentials_inside() -> None:
    holds = base64.b64encode(b"aladdin:opensesame").decode()
    lacks = base64.b64encode(b"no colon in here").decode()
    assert found(f"Basic {holds}", SECRETS) == {("PASSWORD", holds)}
    assert found(f"Basic {lacks}", SECRETS) == set()


@given(st.text(max_size=300))
def test_any_text_is_scanned(text: str) -> None:
    for hit in hits(f"password={text} token {text}", SECRETS):
        assert 0 <= hit.start < hit.end


@given(st.binary(min_size=24, max_size=64))
def test_most_random_bytes_look_random(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    if len(set(data)) > 20 and any(map(str.isdigit, text)):
        assert random_looking(text) or max(map(len, text.replace("+", "/").split("/"))) < 16


def test_words_do_not_look_random() -> None:
    for words in (
        "kubernetes-dashboard-token",
        "MyVeryLongCamelCaseClassName",
        "the_quick_brown_fox_2024",
        "20240115103000",
    ):
        assert not random_looking(words)


def test_entropy_is_shannons() -> None:
    assert entropy("") == 0
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2


@pytest.mark.parametrize("text", ["", " ", "***", "xxxx", "<password>", "${X}", "$DB_PASS", "{{ x }}", "null"])
def test_stand_ins(text: str) -> None:
    assert stand_in(text)


@pytest.mark.parametrize("text", ["changeme", "hunter2", "P@$$w0rd", "x1", "letmein"])
def test_no_stand_ins(text: str) -> None:
    assert not stand_in(text)


def test_a_long_value_is_found_to_its_end() -> None:
    value = "aB3-" * 2000
    assert ("PASSWORD", value) in found(f"password={value} next", SECRETS, "note", lone=False)
    chain = "pwd=" * 2000
    assert found(chain, SECRETS, "note", lone=False) == {("PASSWORD", chain.removeprefix("pwd="))}
