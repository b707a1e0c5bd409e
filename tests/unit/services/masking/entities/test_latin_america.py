import pytest
from finding import found
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.latin_america import LATIN_AMERICA


def entities(text, *keys):
    return {entity for entity, _ in found(text, LATIN_AMERICA, *keys)}


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("529.982.247-25", "BR_CPF"),
        ("11.222.333/0001-81", "BR_CNPJ"),
        ("12.ABC.345/01DE-35", "BR_CNPJ"),
        ("11222333000181", "BR_CNPJ"),
        ("HEGG560427MVZRRL04", "MX_CURP"),
        ("GODE561231GR8", "MX_RFC"),
        ("12.345.678-5", "CL_RUT"),
        ("76086428-5", "CL_RUT"),
        ("20-12345678-6", "AR_CUIT"),
    ],
)
def test_numbers_by_themselves(text, entity):
    assert (entity, text) in found(text, LATIN_AMERICA)


@pytest.mark.parametrize(
    "text",
    [
        "529.982.247-26",
        "111.111.111-11",
        "11.222.333/0001-82",
        "HEGG560427MVZRRL05",
        "HEGG561327MVZRRL04",
        "GODE561231GR9",
        "GODE561331GR8",
        "12.345.678-6",
        "20-12345678-7",
        "99-12345678-6",
    ],
)
def test_what_breaks_the_rules_is_not_one(text):
    assert not entities(text)
    assert not entities(text, "cpf", "curp", "rfc")


def test_grouped_numbers_with_checks_are_found_everywhere():
    assert entities("pago 529.982.247-25 ontem", "order_id") == {"BR_CPF"}
    assert entities("HEGG560427MVZRRL04", "customer_ref") == {"MX_CURP"}
    assert entities("12.345.678-5", "customer") == {"CL_RUT"}
    assert not entities("GODE561231GR8", "sku")


def test_bare_numbers_need_a_word():
    assert not entities("52998224725", "total")
    assert entities("52998224725", "cpf") == {"BR_CPF"}
    assert entities("CNPJ 11222333000181", "note") == {"BR_CNPJ"}
    assert entities("12345678", "dni") == {"AR_DNI"}
    assert entities("DNI 12.345.678", "note") == {"AR_DNI"}
    assert entities("20123456786", "cuil") == {"AR_CUIT"}
    assert not entities("12345678", "value")


@given(st.integers(0, 10), st.sampled_from("0123456789"))
def test_another_digit_in_a_cpf_is_refused(place, digit):
    text = "52998224725"
    changed = text[:place] + digit + text[place + 1 :]
    assert bool(entities(changed, "cpf")) == (changed == text)


@given(st.from_regex(r"[A-Z]{4}[0-9]{6}[A-Z0-9\u212a\u017f]{7}[0-9]", fullmatch=True))
def test_checks_are_total(text):
    entities(text, "curp")
