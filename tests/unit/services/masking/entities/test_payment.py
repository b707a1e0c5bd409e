import pytest
from finding import found, hits
from hypothesis import given
from hypothesis import strategies as st

from services.masking.entities.check_digits import luhn
from services.masking.entities.iban import IBAN_CODE
from services.masking.entities.payment import (
    ABA_ROUTING_NUMBER,
    CREDIT_CARD,
    CVV,
    EXPIRY,
    PAYMENT,
    PIN,
    SWIFT_CODE,
    US_BANK_NUMBER,
    is_issued,
    is_routing_number,
)
from services.masking.entities.wallets import CRYPTO, is_base58check, is_segwit

ISSUED = [
    "4111111111111111",  # Visa
    "5555555555554444",  # Mastercard
    "2223003122003222",
    "378282246310005",  # American Express
    "6011111111111117",  # Discover
    "3530111333300000",  # JCB
    "213176828496175",
    "6200000000000005",  # UnionPay
    "2200000000000004",  # Mir
]


def of(entity: str, text: str, *keys: str, lone: bool | None = None) -> set[str]:
    return {written for named, written in found(text, PAYMENT, *keys, lone=lone) if named == entity}


@pytest.mark.parametrize("number", ISSUED)
def test_a_card_is_found_wherever_it_stands(number: str) -> None:
    assert of(CREDIT_CARD, number, "payload", "note") == {number}
    assert of(CREDIT_CARD, f"paid with {number}, thanks", "note") == {number}
    assert of(CREDIT_CARD, f"id,card,exp\n1,{number},12/25,123", "note") == {number}


@pytest.mark.parametrize("number", ISSUED)
@pytest.mark.parametrize("separator", [" ", "-", ".", "/", " - "])
def test_a_card_is_found_in_groups(number: str, separator: str) -> None:
    groups = (
        (number[:4], number[4:10], number[10:])
        if len(number) == 15
        else (number[:4], number[4:8], number[8:12], number[12:])
    )
    written = separator.join(groups)
    assert of(CREDIT_CARD, f"pay {written}, please", "note") == {written}


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # check digit
        "4012-8888-8888-1882",
        "0000000000000000",
        "1f4111111111111111",
        "0.4111111111111111",
        "0,4111111111111111",
        "41111111-1111-1111-1111-111111111111",
        "4111-1111-1111-1111-1111",
        "1748503543012",  # milliseconds since 1970
        "1234-5678-9012-3456",
    ],
)
def test_what_is_no_card(text: str) -> None:
    assert of(CREDIT_CARD, text, "note") == set()
    assert of(CREDIT_CARD, text) == set()


def test_other_lengths_need_a_word_or_nothing_that_tells() -> None:
    assert of(CREDIT_CARD, "4222222222222", "value", "n") == set()
    assert of(CREDIT_CARD, "4222222222222", "customer", "cardNumber") == {"4222222222222"}
    assert of(CREDIT_CARD, "30569309025904") == {"30569309025904"}
    assert of(CREDIT_CARD, "my maestro card 676222165679", "note") == {"676222165679"}


def test_an_unknown_issuer_needs_a_word() -> None:
    assert of(CREDIT_CARD, "9111111111111110", "note") == set()
    assert of(CREDIT_CARD, "my credit card: 9111111111111110", "note") == {"9111111111111110"}
    assert of(CREDIT_CARD, "122000000000003") == {"122000000000003"}
    assert of(CREDIT_CARD, "122000000000003", "note") == set()


def test_a_code_after_the_card_is_not_part_of_it() -> None:
    assert of(CREDIT_CARD, "4111 1111 1111 1111 123", "note") == {"4111 1111 1111 1111"}
    assert of(CREDIT_CARD, "no 1234 4111 1111 1111 1111", "note") == {"4111 1111 1111 1111"}


@given(st.sampled_from(ISSUED), st.data())
def test_one_changed_digit_is_refused(number: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(number) - 1))
    digit = data.draw(st.sampled_from(sorted(set("0123456789") - {number[place]})))
    changed = number[:place] + digit + number[place + 1 :]
    assert luhn(number)
    assert not luhn(changed)
    assert is_issued(number)
    assert not is_issued(changed)


@pytest.mark.parametrize(
    ("entity", "text", "value"),
    [
        (CVV, "the CVV is 123.", "123"),
        (CVV, "security code: 0420", "0420"),
        (EXPIRY, "card exp 12/27", "12/27"),
        (EXPIRY, "valid thru 01/2029, cvv 123", "01/2029"),
        (PIN, "my PIN is 4821", "4821"),
    ],
)
def test_what_stands_beside_a_card_needs_its_word(entity: str, text: str, value: str) -> None:
    assert of(entity, text, "note") == {value}
    assert of(entity, value, "note") == set()
    assert of(entity, value) == set()


def test_what_stands_beside_a_card_is_known_by_its_key() -> None:
    assert of(CVV, "123", "card", "cvv") == {"123"}
    assert of(EXPIRY, "12/27", "expiryDate") == {"12/27"}
    assert of(PIN, "4821", "pin") == {"4821"}
    assert of(EXPIRY, "2027-12-01", "expiryDate") == set()
    assert of(CVV, "12345", "cvv") == set()


@pytest.mark.parametrize(
    "written",
    [
        "DE89370400440532013000",
        "GB29 NWBK 6016 1331 9268 19",
        "mt84malt011000012345mtlcast001s",
        "NO93-8601-1117-947",
        "FR14 2004 1010 0505 0001 3M02 606",
        "BR9700360305000010009795493P1",
    ],
)
def test_ibans_of_the_registry(written: str) -> None:
    assert of(IBAN_CODE, written, "note") == {written}
    assert of(IBAN_CODE, f"pay to {written} X today", "order_id") == {written}
    assert of(IBAN_CODE, f"x{written}", "note") == set()
    assert of(IBAN_CODE, f"{written}7", "note") == set()


@pytest.mark.parametrize(
    "text",
    [
        "DE89370400440532013001",
        "DE8937040044053201300",
        "De89370400440532013000",
        "XX89370400440532013000",
        "GB29 1WBK 6016 1331 9268 19",
        "DE89  3704 0044 0532 0130 00",
    ],
)
def test_what_is_no_iban(text: str) -> None:
    assert of(IBAN_CODE, text) == set()


def test_a_structure_binds_even_where_the_check_digits_fit() -> None:
    # 18 characters after DE03, mod 97 fits, but a letter stands where Germany has digits
    body = "3704004405320130A0"
    check = next(
        f"{n:02}"
        for n in range(2, 99)
        if int("".join(str(int(character, 36)) for character in f"{body}DE{n:02}")) % 97 == 1
    )
    assert of(IBAN_CODE, f"DE{check}{body}") == set()


def test_bank_numbers() -> None:
    assert of(ABA_ROUTING_NUMBER, "routing number 121000358", "note") == {"121000358"}
    assert of(ABA_ROUTING_NUMBER, "121000358", "id") == set()
    assert of(ABA_ROUTING_NUMBER, "121000358") == {"121000358"}
    assert of(ABA_ROUTING_NUMBER, "3222-7162-7") == {"3222-7162-7"}
    assert of(ABA_ROUTING_NUMBER, "121000359") == set()
    assert of(US_BANK_NUMBER, "my bank account is 945456787654", "note") == {"945456787654"}
    assert of(US_BANK_NUMBER, "945456787654") == set()
    assert of(US_BANK_NUMBER, "945456787654", "bankAccount") == {"945456787654"}
    assert of(US_BANK_NUMBER, "945456787654", "count") == set()
    assert of(US_BANK_NUMBER, "1234567") == set()
    assert of(SWIFT_CODE, "SWIFT DEUTDEFF500", "note") == {"DEUTDEFF500"}
    assert of(SWIFT_CODE, "HOSPITAL") == set()


@given(st.integers(0, 8), st.integers(1, 9))
def test_a_routing_number_with_one_changed_digit_is_refused(place: int, by: int) -> None:
    number = "121000358"
    changed = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    assert is_routing_number(number)
    assert not is_routing_number(changed)


WALLETS = [
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",  # the first block's
    "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
    "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",  # test net
    "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",  # BIP 173
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
    "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",  # BIP 350
    "rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh",  # XRP Ledger's genesis
    "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t",  # Tron
]


@pytest.mark.parametrize("address", WALLETS)
def test_wallets_are_found_by_their_checksum(address: str) -> None:
    assert of(CRYPTO, f"send it to {address}.", "order_id") == {address}
    broken = address[:-1] + ("q" if address[-1] not in "qQ" else "p")
    assert of(CRYPTO, broken) == set()


def test_ethereum_needs_no_checksum_but_a_place() -> None:
    address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert of(CRYPTO, address, "to") == {address}
    assert of(CRYPTO, address, "hash") == set()
    assert of(CRYPTO, address + "00", "to") == set()


@given(st.text("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", min_size=25, max_size=35))
def test_base58_checks_are_total(written: str) -> None:
    assert is_base58check(written) in (True, False)


@given(st.sampled_from(WALLETS[3:4]), st.integers(4, 41), st.sampled_from("qpzry9x8gf2tvdw0s3jn54khce6mua7l"))
def test_a_changed_character_breaks_bech32(address: str, place: int, character: str) -> None:
    changed = address[:place] + character + address[place + 1 :]
    assert is_segwit(changed) is (changed == address)


@pytest.mark.parametrize("text", ["4111 1111 1111 1112 " * 3000, "DE89 " * 9000, "pin " * 9000, "9 " * 20000])
def test_long_texts_of_near_misses_hold_nothing(text: str) -> None:
    assert hits(text, PAYMENT, "note") == []


@pytest.mark.parametrize("gap", ["\t", "\n", "\r\n"])
def test_numbers_that_were_wrapped_or_tabulated(gap: str) -> None:
    card, iban = gap.join(["4111"] * 1 + ["1111"] * 3), f"DE89 3704 0044{gap}0532 0130 00"
    assert of(CREDIT_CARD, f"card{gap}{card}{gap}ok", "note") == {card}
    assert of(IBAN_CODE, f"to {iban}, please", "note") == {iban}
    # Columns of numbers are no cards, whatever four of them make.
    assert of(CREDIT_CARD, gap.join(["2020", "4111", "1111", "1111", "1111"]), "note") == set()
    assert of(CREDIT_CARD, gap.join(["4111", "1111", "1111", "1111", "2024"]), "note") == set()
