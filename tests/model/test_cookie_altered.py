"""Bad values are what they are called: near a good one, and never the same."""

from __future__ import annotations

import random
import string
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from limpet.harness.model.cookies import altered

VALUES = st.text(string.ascii_letters + string.digits + "-_.=+/", min_size=1, max_size=80)


@given(VALUES, st.integers())
def test_a_flipped_value_differs_in_one_place_in_its_middle(value: str, seed: int) -> None:
    found = altered.flipped(random.Random(seed), value)
    if found is None:
        middle = value[len(value) // 3 : max(len(value) // 3 + 1, 2 * len(value) // 3)]
        assert not any(each.isalnum() for each in middle)
        return
    places = [at for at, (old, new) in enumerate(zip(value, found, strict=True)) if old != new]
    assert len(places) == 1
    assert len(value) // 3 <= places[0] < max(len(value) // 3 + 1, 2 * len(value) // 3)


@given(VALUES, st.integers())
def test_a_value_of_the_same_shape_has_the_same_sorts_of_characters(value: str, seed: int) -> None:
    found = altered.same_shape(random.Random(seed), value)
    assert len(found) == len(value)
    assert [each.isalnum() for each in found] == [each.isalnum() for each in value]


def test_a_hexadecimal_value_stays_one() -> None:
    assert set(altered.same_shape(random.Random(1), "0123456789abcdef" * 8)) <= set("0123456789abcdef")


@given(VALUES)
def test_an_encoded_value_means_the_same_and_is_another_text(value: str) -> None:
    found = altered.encoded(value)
    assert found != value
    assert unquote(found) == value
