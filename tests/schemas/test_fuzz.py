"""Seeded mutations of valid values in every format; `fuzz.py` goes on with atheris."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.schemas.fuzz import REASONS, TARGETS, decode, mutations, seeds


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_bytes_a_record_or_a_rejection(seed: int) -> None:
    outcomes = Counter(map(decode, mutations(5000, seed)))
    assert set(outcomes) >= {"ok", *REASONS} - {"empty"}, "every way out is taken"


def test_each_seed_is_valid_in_json_and_both_framings() -> None:
    outcomes = Counter(map(decode, seeds()))
    assert outcomes["ok"] == 3 * len(TARGETS)


def test_an_empty_value_is_empty() -> None:
    assert decode(b"\x00") == "empty"
