"""The ledger finds what is lost; it never assumes."""

from __future__ import annotations

import numpy as np
import pytest

from streams.demo.ledger import ANSWER, DERIVED, KEYED, REJECTED, PartitionLedger, quantile_ms

ALL = KEYED | ANSWER


def ledger() -> PartitionLedger:
    return PartitionLedger(ALL)


@pytest.mark.parametrize(
    ("bits", "lost"),
    [
        ((), 1),
        ((KEYED,), 1),
        ((ANSWER,), 1),
        ((KEYED, ANSWER), 0),
        ((REJECTED,), 0),
        ((KEYED, REJECTED), 0),
        ((DERIVED,), 1),
    ],
)
def test_a_record_is_accounted_for_by_all_its_outputs_or_a_rejection(bits: tuple[int, ...], lost: int) -> None:
    account = ledger()
    for bit in bits:
        account.saw(0, bit, 5)
    assert account.lost(1) == lost


def test_records_never_heard_of_are_lost() -> None:
    account = ledger()
    for offset in (0, 2):
        account.saw(offset, KEYED, 1)
        account.saw(offset, ANSWER, 1)
    assert account.lost(5) == 3


def test_the_same_output_twice_is_a_repeat() -> None:
    account = ledger()
    assert account.saw(7, KEYED, 1)
    assert not account.saw(7, KEYED, 2)
    assert account.repeats == 1


def test_latency_is_from_due_to_first_answer() -> None:
    account = ledger()
    account.sent(0, 100)
    account.saw(0, ANSWER, 130)
    account.saw(0, ANSWER, 900)
    assert quantile_ms(account.latency_histogram(), 0.99) == 30


def test_compaction_changes_nothing_that_is_reported() -> None:
    account, plain = ledger(), ledger()
    n = 50_000
    for a in (account, plain):
        for offset in range(n):
            a.sent(offset, 1000 + offset)
            if offset != 40_000:
                a.saw(offset, KEYED, 1)
                a.saw(offset, ANSWER, 1000 + offset + offset % 50)
    account.compact()
    assert account.base == 40_000
    assert account.lost(n) == plain.lost(n) == 1
    assert np.array_equal(account.latency_histogram(), plain.latency_histogram())
    assert not account.saw(3, ANSWER, 1)
    assert account.repeats == 1
    account.saw(40_000, KEYED, 1)
    account.saw(40_000, ANSWER, 1)
    assert account.lost(n + 2) == 2


def test_no_latency_before_anything_was_answered() -> None:
    assert quantile_ms(ledger().latency_histogram(), 0.5) is None
