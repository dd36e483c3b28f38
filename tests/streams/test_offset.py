"""The tracker never lets a commit pass over work that is not done."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.offset import OffsetTracker, Span


def tracker(position: int | None = 0) -> OffsetTracker[str]:
    found: OffsetTracker[str] = OffsetTracker()
    found.seek({"p": position})
    return found


def do(t: OffsetTracker[str], span: Span) -> None:
    assert t.begin(span)
    t.finish(span)
    t.leave(span)


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=20),
    gaps=st.lists(st.integers(0, 3), min_size=20, max_size=20),
    order=st.randoms(use_true_random=False),
)
def test_commits_from_the_left_only(sizes: list[int], gaps: list[int], order: object) -> None:
    t = tracker(None)
    spans, at = [], 7
    for size, gap in zip(sizes, gaps, strict=False):
        spans.append(t.register("p", at + gap, at + gap + size))
        at += gap + size
    pending = list(spans)
    order.shuffle(pending)  # type: ignore[attr-defined]
    done: set[Span] = set()
    for span in pending:
        do(t, span)
        done.add(span)
        prefix = [s for i, s in enumerate(spans) if set(spans[: i + 1]) <= done]
        assert t.committable("p") == (prefix[-1].end if prefix else None)
    assert t.committable("p") == spans[-1].end


def test_a_commit_that_failed_is_tried_again() -> None:
    t = tracker()
    do(t, t.register("p", 0, 10))
    assert t.committable("p") == t.committable("p") == 10
    t.committed({"p": 10})
    assert t.committable("p") is None
    do(t, t.register("p", 10, 11))
    assert t.committable("p") == 11


def test_what_a_seek_has_overtaken_cannot_be_begun_nor_committed() -> None:
    t = tracker()
    waiting, working = t.register("p", 0, 5), t.register("p", 5, 9)
    assert t.begin(working)
    t.seek({"p": 0})
    t.finish(working)
    assert not t.begin(waiting)
    assert t.committable("p") is None
    do(t, t.register("p", 0, 5))
    assert t.committable("p") == 5


def test_revoked_partitions_are_forgotten() -> None:
    t = tracker()
    span = t.register("p", 0, 5)
    t.revoke(["p", "never-assigned"])
    assert not t.begin(span)
    assert t.partitions() == []
    t.committed({"p": 5})
    assert t.committable("p") is None


def test_going_back_without_a_seek_is_refused() -> None:
    t = tracker()
    t.register("p", 0, 5)
    with pytest.raises(ValueError, match="went back from 5 to 4"):
        t.register("p", 4, 6)


def test_a_late_confirmation_does_not_move_a_commit_back() -> None:
    t = tracker()
    do(t, t.register("p", 0, 9))
    t.seek({"p": 3})
    t.committed({"p": 9})
    do(t, t.register("p", 3, 5))
    assert t.committable("p") is None


def test_busy_counts_spans_being_worked_on() -> None:
    t = tracker()
    span = t.register("p", 0, 1)
    assert t.busy == 0
    t.begin(span)
    assert t.busy == 1
    t.leave(span)
    assert t.busy == 0
    assert t.committable("p") is None, "left without being finished"


@pytest.mark.parametrize("position", [None, 4])
def test_floor_and_uncommitted(position: int | None) -> None:
    t = tracker(position)
    assert t.floor("p") == position
    assert t.uncommitted("p") == 0
    do(t, t.register("p", 4, 10))
    assert (t.floor("p"), t.uncommitted("p")) == (4, 6)
    t.committed({"p": 10})
    assert (t.floor("p"), t.uncommitted("p")) == (10, 0)
