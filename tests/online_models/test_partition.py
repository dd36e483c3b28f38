"""States as bytes: what is captured and loaded again goes on exactly as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np
import pytest

from online_models import capture as capture_module
from online_models import partition
from online_models.partition import HOUR_MS, IDLE_MS, PartitionState
from schemas.batch import Batch
from schemas.error import StateError
from tests.online_models.stream import (
    START_MS,
    encoded,
    metrics,
    metrics_of,
    sample,
    samples_of,
    transfer,
    transfers_of,
)
from tests.online_models.test_contract import CASES

Make = Callable[[], Batch]


def _load(state: PartitionState, capture: Iterable[bytes]) -> None:
    for piece in capture:
        state.load(piece)


def _size(capture: Iterable[bytes]) -> int:
    return sum(map(len, capture))


def _fed(state: Any, batch: Batch, every: int) -> PartitionState:
    fed: PartitionState = state()
    for first in range(0, len(batch), every):
        fed.step(batch.take(first, min(first + every, len(batch))))
    return fed


@pytest.mark.parametrize(("state", "make", "always"), CASES)
@pytest.mark.parametrize("every", [1, 7, 500])
def test_the_state_does_not_depend_on_the_cut(state: Any, make: Make, always: Any, every: int) -> None:
    batch = make().take(0, 1500)
    assert _fed(state, batch, every).digest() == _fed(state, batch, len(batch)).digest()


@pytest.mark.parametrize(("state", "make", "always"), CASES)
@pytest.mark.parametrize("pieces", [1, 2, 5])
def test_a_chain_of_captures_restores_the_state_bit_for_bit(state: Any, make: Make, always: Any, pieces: int) -> None:
    batch = make()
    half = len(batch) // 2
    fed, copy = state(), state()
    bounds = np.linspace(0, half, pieces + 1).astype(int).tolist()
    for at in range(pieces):
        fed.step(batch.take(bounds[at], bounds[at + 1]))
        _load(copy, fed.capture())
    assert copy.digest() == fed.digest()
    rest = batch.take(half, len(batch))
    assert encoded([(0, copy.step(rest))]) == encoded([(0, fed.step(rest))])
    assert copy.digest() == fed.digest()


@pytest.mark.parametrize(("state", "make", "always"), CASES)
def test_a_whole_capture_stands_alone(state: Any, make: Make, always: Any) -> None:
    fed, copy = _fed(state, make(), 600), state()
    fed.capture()
    _load(copy, fed.capture(whole=True))
    assert copy.digest() == fed.digest()


@pytest.mark.parametrize(("state", "make", "always"), CASES)
def test_a_capture_carries_only_what_changed(state: Any, make: Make, always: Any) -> None:
    batch = make()
    fed = _fed(state, batch, 600)
    whole = _size(fed.capture(whole=True))
    assert _size(fed.capture()) < 500
    fed.step(batch.take(len(batch) - 1, len(batch)))
    assert _size(fed.capture()) < whole


@pytest.mark.parametrize(("state", "make", "always"), CASES)
def test_rollback_undoes_a_step(state: Any, make: Make, always: Any) -> None:
    batch = make()
    half = len(batch) // 2
    fed, straight = _fed(state, batch.take(0, half), 600), _fed(state, batch.take(0, half), 600)
    for row in range(half, half + 50):
        one = batch.take(row, row + 1)
        undo = fed.checkpoint(one.key)
        fed.step(one)
        fed.rollback(undo)
    assert fed.digest() == straight.digest()
    rest = batch.take(half, len(batch))
    assert encoded([(0, fed.step(rest))]) == encoded([(0, straight.step(rest))])


@pytest.mark.parametrize(("state", "make", "always"), CASES)
def test_what_another_version_wrote_is_refused(state: Any, make: Make, always: Any) -> None:
    class Changed(state):  # type: ignore[misc]
        revision = 2

    capture = _fed(state, make().take(0, 50), 50).capture()
    with pytest.raises(StateError) as refused:
        Changed().load(next(iter(capture)))
    assert refused.value.reason == "layout"


@pytest.mark.parametrize("damage", [lambda b: b[:-10], lambda b: b[1:], lambda b: b"", lambda b: b"\x80" + b])
def test_damaged_bytes_are_refused(damage: Callable[[bytes], bytes]) -> None:
    state, _, _ = CASES[0].values
    capture = _fed(state, CASES[0].values[1]().take(0, 50), 50).capture()
    with pytest.raises(StateError) as refused:
        state().load(damage(next(iter(capture))))
    assert refused.value.reason == "damaged"


def _network(key: str, t: int) -> Any:
    return sample(t, node_id=key)


def _compression(key: str, t: int) -> Any:
    return transfer(f"{key}{t}", t, node_id=key)


def _system(key: str, t: int) -> Any:
    return metrics(t, key)


RECORDS = [
    pytest.param(CASES[0].values[0], _network, samples_of, id="network"),
    pytest.param(CASES[1].values[0], _compression, transfers_of, id="compression"),
    pytest.param(CASES[2].values[0], _system, metrics_of, id="system"),
]


@pytest.mark.parametrize(("state", "record", "batch_of"), RECORDS)
@pytest.mark.parametrize(("silence_ms", "forgotten"), [(IDLE_MS - HOUR_MS, False), (IDLE_MS + 2 * HOUR_MS, True)])
def test_a_key_is_forgotten_after_a_week_of_silence(
    state: Any, record: Any, batch_of: Any, silence_ms: int, forgotten: bool
) -> None:
    fed = state()
    fed.step(batch_of([record("quiet", START_MS), record("busy", START_MS)]))
    fed.step(batch_of([record("busy", START_MS + silence_ms)]))
    assert len(fed) == (1 if forgotten else 2)


@pytest.mark.parametrize(("state", "record", "batch_of"), RECORDS)
@pytest.mark.parametrize(
    ("clocks", "left"), [([1, 2, 3, 4, 5, 6, 7], ["defgz", "gz", "z"]), ([1, 5, 3, 4, 3, 2, 3], ["bdz", "z", "z"])]
)
@pytest.mark.parametrize("turn", [1, -1])
def test_of_many_the_longest_silent_are_forgotten_first(
    state: Any, record: Any, batch_of: Any, clocks: list[int], left: list[str], turn: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(partition, "FORGOTTEN", 3)
    fed = state()
    fed.step(batch_of([record(name, START_MS + at) for name, at in list(zip("abcdefg", clocks, strict=True))[::turn]]))
    found = []
    for hour in range(1, 4):
        fed.step(batch_of([record("z", START_MS + IDLE_MS + hour * HOUR_MS)]))
        found.append("".join(sorted((key or b"").decode()[0] for key in fed._table.keys)))
    assert found == left


@pytest.mark.parametrize(("state", "record", "batch_of"), RECORDS)
def test_what_was_forgotten_is_captured_and_does_not_depend_on_the_cut(state: Any, record: Any, batch_of: Any) -> None:
    records = [record(f"n{k % 7}", START_MS + k * 9 * HOUR_MS + k) for k in range(20)]
    records += [record("busy", START_MS + k * 5 * HOUR_MS) for k in range(36, 120)]
    records += [record(f"n{k}", START_MS + 120 * 5 * HOUR_MS + k) for k in range(3)]
    batch = batch_of(records)
    whole = _fed(state, batch, len(batch))
    assert len(whole) < 8
    assert _fed(state, batch, 1).digest() == whole.digest()
    fed, copy = state(), state()
    for first in range(0, len(batch), 10):
        fed.step(batch.take(first, min(first + 10, len(batch))))
        _load(copy, fed.capture())
    assert copy.digest() == whole.digest()


def test_a_step_across_an_hour_gives_one_result() -> None:
    batch = CASES[0].values[1]()
    state = CASES[0].values[0]
    cut = encoded([(row, state_.step(batch.take(row, row + 1))) for state_ in [state()] for row in range(len(batch))])
    assert encoded([(0, state().step(batch))]) == cut


@pytest.mark.parametrize(("state", "make", "always"), CASES)
@pytest.mark.parametrize("read", [0, 1], ids=["not begun", "begun"])
def test_a_capture_is_of_its_moment_whenever_it_is_read(
    state: Any, make: Make, always: Any, read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_module, "PIECE_BYTES", 1)
    batch = make()
    half = len(batch) // 2
    expected = list(_fed(state, batch.take(0, half), 600).capture())
    fed = _fed(state, batch.take(0, half), 600)
    capture = fed.capture()
    assert len(capture) == len(expected)
    pieces = [next(iter(capture)) for _ in range(read)]
    for first in range(half, len(batch), 50):
        fed.step(batch.take(first, min(first + 50, len(batch))))
    assert [*pieces, *capture] == expected


@pytest.mark.parametrize(("state", "record", "batch_of"), RECORDS)
def test_a_capture_keeps_what_is_forgotten_meanwhile(state: Any, record: Any, batch_of: Any) -> None:
    fed, copy = state(), state()
    fed.step(batch_of([record(f"n{k}", START_MS + k) for k in range(300)]))
    digest, capture = fed.digest(), fed.capture()
    fed.step(batch_of([record("n299", START_MS + IDLE_MS + 2 * HOUR_MS)]))
    assert len(fed) == 1
    _load(copy, capture)
    assert copy.digest() == digest


def test_a_capture_is_plain_data() -> None:
    state, make, _ = CASES[0].values
    (piece,) = _fed(state, make().take(0, 5), 5).capture()
    assert set(msgspec.msgpack.decode(piece)) == {"layout", "total", "gone", "keys", "rows", "shared"}


@pytest.mark.parametrize("size", [1, 30_000])
def test_a_capture_of_many_keys_comes_in_pieces(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capture_module, "PIECE_BYTES", size)
    state, make, _ = CASES[0].values
    fed, copy = _fed(state, make(), 600), state()
    pieces = fed.capture()
    assert len(pieces) == (len(fed) if size == 1 else -(-len(fed) // (size // fed._table.dtype.itemsize)))
    _load(copy, pieces)
    assert copy.digest() == fed.digest()
