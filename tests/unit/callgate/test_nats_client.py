from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from callgate.nats_client import LeanClient

_PIECES = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from(
            [b"\r\n", b":", b" ", b"\t", b"\x0b", b"\x1c", b"ce-type", b"Nats-Sequence", b": 12", b"\xc3\xa9"]
        ),
    ),
    max_size=24,
).map(b"".join)


@given(_PIECES)
def test_it_parses_headers_as_nats_py_does(raw: bytes) -> None:
    assert LeanClient._parse_header_lines(raw) == Client._parse_header_lines(raw)


def test_it_parses_the_headers_of_an_event() -> None:
    raw = b"ce-type: callgate.call.allowed.v1\r\ncallgate-signature: policy-1:AAA=\r\nempty:\r\nnot a token: x\r\n\r\n"
    assert LeanClient._parse_header_lines(raw) == {
        "ce-type": "callgate.call.allowed.v1",
        "callgate-signature": "policy-1:AAA=",
        "empty": "",
    }
