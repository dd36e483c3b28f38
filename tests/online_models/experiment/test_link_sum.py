"""Sums per link: the same however they were cut, and loaded bit for bit."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models.experiment.link_sum import LinkLevels, LossSums
from schemas.error import StateError
from schemas.field import LINK_TYPES

RNG = np.random.default_rng(4)
LINK = [f"n{k}:hub".encode() for k in RNG.integers(12, size=300).tolist()]
KIND = np.array([int(key[1:-4]) % 4 for key in LINK], np.int64)
CHAMPION, CHALLENGER = RNG.random((2, 300))
CHALLENGER[::9] = np.nan


def filled(cuts: list[int]) -> LossSums:
    sums = LossSums()
    for first, end in pairwise([0, *sorted(set(cuts)), 300]):
        sums.add(LINK[first:end], KIND[first:end], CHAMPION[first:end], CHALLENGER[first:end])
    return sums


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 299), max_size=6))
def test_losses_do_not_depend_on_how_labels_were_cut(cuts: list[int]) -> None:
    assert filled(cuts).capture() == filled([]).capture()


def test_only_labels_that_both_answered_are_compared() -> None:
    sums = filled([])
    both = np.isfinite(CHALLENGER)
    paired = sums.paired()
    assert sums.labels == paired.labels.sum() == both.sum()
    assert paired.champion.sum() == pytest.approx(CHAMPION[both].sum())
    assert paired.challenger.sum() == pytest.approx(CHALLENGER[both].sum())
    assert len(sums) == 12
    assert set(paired.kind) == set(LINK_TYPES)


def test_what_is_captured_is_loaded() -> None:
    sums, again = filled([]), LossSums()
    again.load(sums.capture())
    for each in (sums, again):
        each.add(LINK[:50], KIND[:50], CHAMPION[:50], CHAMPION[:50])
    assert again.capture() == sums.capture()


@pytest.mark.parametrize("captured", [b"", b"\x93", LinkLevels().capture(), filled([]).capture()[:-1]])
def test_anything_else_is_refused(captured: bytes) -> None:
    with pytest.raises(StateError):
        LossSums().load(captured)


def test_a_lift_is_a_link_s_mean_less_its_base() -> None:
    levels = LinkLevels(least=2)
    levels.add([b"a", b"a", b"b", b"c", b"c", b"c"], np.array([1.0, 3.0, 5.0, 0.0, 0.0, np.nan]))
    before = levels.capture()
    lifts = levels.lifts([b"a", b"a", b"b", b"c", b"d"], np.array([4.0, 5.0, 9.0, np.nan, 1.0]))
    assert lifts.tolist() == [2.5]  # b has too short a base, c nothing now, d no base
    assert levels.capture() == before
    assert levels.lifts([], np.array([])).tolist() == []
