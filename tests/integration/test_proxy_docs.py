"""Every line of docs/proxy.md that can be run is run, against `callgate up` with the example configuration."""

import re

import yaml
from test_agents_docs import ROOT, Up, up

from contracts.functions import HttpConnection

__all__ = ["up"]  # the fixture

PAGE = (ROOT / "docs" / "proxy.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


async def test_the_page_does_what_it_says(up: Up) -> None:
    (lines,) = blocks("sh")
    customer, *refunds = re.split(r"(?=HTTP/1\.1 )", await up.shell(lines))
    assert '"id":"c42"' in customer
    assert '"email":"[EMAIL_ADDRESS]"' in customer
    assert len(refunds) == 2
    for refund in refunds:
        assert refund.startswith("HTTP/1.1 201")
        assert "callgate-status: completed" in refund
        assert '"card_number":"[CREDIT_CARD]"' in refund
    (first,), (second,) = (re.findall(r"callgate-call: (\S+)", refund) for refund in refunds)
    assert first == second, "one refund, however often it is asked for"


def test_the_configuration_on_the_page_is_one() -> None:
    (text,) = blocks("yaml")
    document = yaml.safe_load(text.replace("…", "{pay: {path: /pay}}"))
    connection = HttpConnection.model_validate(document["connections"]["payments"])
    assert connection.proxy is not None
    assert connection.proxy.env == ("PAYMENTS_BASE_URL",)
