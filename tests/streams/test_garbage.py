"""What stands at the start is never walked again; cycles made later are still found."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from streams import garbage


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class Node:
    """Something that can be in a cycle."""


def test_settle_freezes_what_is_there() -> None:
    garbage.settle()
    assert gc.get_freeze_count() > 10_000
    assert gc.isenabled()


def test_cycles_made_afterwards_are_collected_by_themselves() -> None:
    garbage.settle()
    node = Node()
    node.own = node  # type: ignore[attr-defined]
    gone = weakref.ref(node)
    del node
    kept = [[] for _ in range(gc.get_threshold()[0] + 1_000)]
    assert gone() is None
    assert kept
