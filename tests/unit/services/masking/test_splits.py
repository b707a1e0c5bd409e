import random
import time
from typing import Any

import pytest
from growth import superlinear

from services.masking.splits import Part, Split, split_over

IBAN = ["DE89", "3704", "0044", "0532", "0130", "00"]


def splits(container: Any, *path: str | int) -> list[Split]:
    members = list(container.items() if isinstance(container, dict) else enumerate(container))
    parts = [Part(key, str(value), isinstance(value, str)) for key, value in members]
    return split_over(parts, path, len(members))


def found(container: Any, *path: str | int) -> list[tuple[str, tuple[int, ...]]]:
    return [(split.entity, split.parts) for split in splits(container, *path)]


@pytest.mark.parametrize(
    ("container", "path"),
    [
        (["4111", "1111", "1111", "1111"], ("digits",)),
        (["3782", "822463", "10005"], ()),
        (list("4111111111111111"), ()),
        ([4111, 1111, 1111, 1111], ("card",)),
        ([4242, 4242, 4242, 4242], ("payment", "creditCard", "parts")),
        ([4000, 27, 6000, 3184], ("card",)),  # 4000 0027 6000 3184
        (["41111111", "11111111"], ("cardNumber",)),
        (["411111", "11111", "11111"], ("card",)),
    ],
)
def test_a_card_over_the_items_of_an_array(container: list[Any], path: tuple[str, ...]) -> None:
    assert found(container, *path) == [("CREDIT_CARD", tuple(range(len(container))))]


@pytest.mark.parametrize(
    ("container", "parts"),
    [
        ({"part_1": "4111", "part_2": "1111", "part_3": "1111", "part_4": "1111"}, (0, 1, 2, 3)),
        ({"note": "x", "card1": 4111, "amount": 12, "card2": 1111, "card3": 1111, "card4": 1111}, (1, 3, 4, 5)),
        ({"first": "4111", "second": "1111", "third": "1111", "fourth": "1111"}, (0, 1, 2, 3)),
        ({"p2": "822463", "p1": "3782", "p3": "10005"}, (1, 0, 2)),
    ],
)
def test_a_card_over_the_fields_of_an_object(container: dict[str, Any], parts: tuple[int, ...]) -> None:
    assert found(container) == [("CREDIT_CARD", parts)]


@pytest.mark.parametrize(
    ("container", "path"),
    [
        (["536", "22", "8726"], ()),
        ({"ssn1": "536", "ssn2": "22", "ssn3": "8726"}, ()),
        ({"area": "536", "group": "22", "serial": "8726"}, ()),
        ({"x": 536, "y": 22, "z": 8726}, ("ssn",)),
        ([512, 5, 726], ("ssn",)),
        (["53622", "8726"], ("customer", "socialSecurity")),
    ],
)
def test_a_social_security_number(container: Any, path: tuple[str, ...]) -> None:
    assert found(container, *path) == [("US_SSN", tuple(range(len(container))))]


def test_an_iban_over_items_fields_and_among_others() -> None:
    assert found(IBAN) == [("IBAN_CODE", (0, 1, 2, 3, 4, 5))]
    assert found({f"field{letter}": part for letter, part in zip("uvwxyz", IBAN, strict=True)}) == [
        ("IBAN_CODE", (0, 1, 2, 3, 4, 5))
    ]
    assert found(["to", "DE", "89", *IBAN[1:], "EUR"]) == [("IBAN_CODE", (1, 2, 3, 4, 5, 6, 7))]
    assert found(["DE88", *IBAN[1:]]) == []


@pytest.mark.parametrize(
    ("container", "path"),
    [
        (["2019", "2020", "2021", "2022"], ("years",)),
        ([4111, 1111, 1111, 1111], ("histogram",)),
        ([4111, 1111, 1111, 1111], ()),
        (["4111", "1111", "1111", "1112"], ()),
        (["4111", "1111", "1111", "1111", "shipped"], ("codes",)),
        ({"lat": 52, "lon": 13, "alt": 4111, "x": 1111, "y": 1111}, ()),
        ({"q1": 4111, "q2": 1111, "q3": 1111, "q4": 1111}, ("revenue",)),
        ({"qty": 2, "price": 1099, "year": 2024, "sku": "A12"}, ()),
        ({"bin": "411111", "brand": "visa", "last4": "1111", "exp_month": 12, "exp_year": 2030}, ("card",)),
        ([536, 22, 8726], ()),
        (["666", "22", "8726"], ()),
        (["536", "22", "8726", "1"], ()),
        ({"x": "536", "y": "22", "z": "8726"}, ()),
        ([], ()),
        (["4111"], ("card",)),
    ],
)
def test_other_numbers_are_not_joined(container: Any, path: tuple[str, ...]) -> None:
    assert found(container, *path) == []


def test_chance_finds_next_to_nothing() -> None:
    chance = random.Random(7)
    alarms = 0
    for _ in range(5000):
        size = chance.randint(2, 12)
        width = chance.choice([1, 2, 3, 4, 5, 6])
        numbers = [chance.randrange(10**width) for _ in range(size)]
        alarms += bool(splits(numbers, "values"))
        alarms += bool(splits({f"field_{chance.choice('klmorstuw')}{n}": n for n in numbers}))
        alarms += bool(splits([f"{n:0{width}}" for n in numbers], "codes"))
    assert alarms <= 10


def test_long_arrays_cost_what_they_are_long() -> None:
    def cost(size: int) -> float:
        begin = time.process_time()
        splits(["DE", "89", "41"] * size, "card", "ssn")
        splits({f"card_{index}": "41" for index in range(size)})
        return time.process_time() - begin

    assert not superlinear(cost, 2_000)
