"""Controls take effect at their place in the partition, in every replay and in any cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from online_models.partition import PartitionState
from online_models.slot import row_dtype
from schemas import header
from schemas.batch import Batch, Broadcast, Control, Output, Result
from schemas.system import SystemMetrics
from schemas.topic import SYSTEM_KEYED, SYSTEM_SCORE
from streams.agent import declare
from streams.envelope import control_headers
from streams.recording.format import Recorded
from streams.recording.run import run
from streams.stepper import Stepper
from streams.work import Held, Work


class Threshold(PartitionState):
    """A state that says for each record which threshold was in force."""

    def __init__(self) -> None:
        self.threshold = np.zeros(1)
        super().__init__(row_dtype(("clock", "i8")), {"threshold": self.threshold})

    def apply(self, batch: Batch) -> Result:
        n = len(batch)
        self._table.index(batch.key)
        return Result({SYSTEM_SCORE: self._scores(np.arange(n), batch.columns["timestamp"])})

    def control(self, control: Control) -> Result:
        self.threshold[0] += float(control.body)
        if control.partition:
            return Result()
        return Result({SYSTEM_SCORE: self._scores(np.zeros(1, np.intp), np.array([control.time_ms]))})

    def _scores(self, row: np.ndarray, time: np.ndarray) -> Output:
        n = len(row)
        columns = {"timestamp": time, "node_id": ["n"] * n, "anomaly_score": np.full(n, 0.5), "is_anomaly": [False] * n}
        more = {
            "threshold": np.full(n, self.threshold[0]),
            "detection_method": ["test"] * n,
            "model_version": ["1"] * n,
        }
        return Output(row, columns | more)

    def restored(self) -> None:
        """Nothing is derived."""

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        return {}

    @classmethod
    def warm(cls) -> None:
        """Nothing is compiled."""


AGENT = declare("threshold", source=SYSTEM_KEYED, state=Threshold, publishes=(SYSTEM_SCORE,))
ZEROS = dict.fromkeys(SystemMetrics.__struct_fields__, 0.0)


class Sent(NamedTuple):
    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]]


def metric(offset: int) -> Sent:
    value = msgspec.json.encode(ZEROS | {"timestamp": offset * 1000, "node_id": "n"})
    return Sent(b"n", value, offset, offset * 1000, [(header.ORIGIN, b"raw/0/%d" % offset)])


def control(offset: int, body: bytes, number: int) -> Sent:
    said = Broadcast(0, SYSTEM_KEYED, "test.threshold", body)
    return Sent(None, None, offset, offset * 1000, control_headers(said, b"feedback/0/%d" % number, "feedback"))


def records() -> list[Sent]:
    """Threshold 0 for three records, 1 for two, 3 for one, with a control at either end of a cut."""
    made = [metric(0), metric(1), metric(2), control(3, b"1", 0), metric(4), metric(5), control(6, b"2", 1), metric(7)]
    return [*made, control(8, b"0.5", 2)]


def thresholds(work: Work, result: Result) -> list[tuple[int, float]]:
    output = result.outputs[SYSTEM_SCORE]
    return sorted(zip(work.row[output.row].tolist(), np.asarray(output.columns["threshold"]).tolist(), strict=True))


def apply(stepper: Stepper, held: Held, some: Sequence[Sent], *, each: bool = False) -> tuple[Work, Result]:
    work = stepper.admit(held, some, stepper.decode(some, 0))
    return work, (stepper.step_each if each else stepper.step)(held, work)


EXPECTED = [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.5]


@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("cut", range(1, 10))
def test_a_control_takes_effect_where_it_stands(cut: int, each: bool) -> None:
    stepper = Stepper(AGENT, SYSTEM_KEYED.name)
    held = stepper.start()
    found = []
    for first in range(0, 9, cut):
        work, result = apply(stepper, held, records()[first : first + cut], each=each)
        found += [value for _, value in thresholds(work, result)] if result.outputs else []
    assert found == EXPECTED


def test_what_a_control_yields_has_its_origin() -> None:
    stepper = Stepper(AGENT, SYSTEM_KEYED.name)
    work, result = apply(stepper, stepper.start(), records())
    rows = result.outputs[SYSTEM_SCORE].row.tolist()
    assert rows == sorted(rows)
    assert [work.origins[r] for r in rows[-3:]] == [b"feedback/0/0", b"feedback/0/1", b"feedback/0/2"]
    assert [work.keys[r] for r in rows] == [b"n"] * 6 + [None] * 3


def test_a_control_delivered_twice_counts_once() -> None:
    stepper = Stepper(AGENT, SYSTEM_KEYED.name)
    held = stepper.start()
    apply(stepper, held, records())
    again = [control(9, b"1", 1), metric(10), control(11, b"4", 3)]
    work, result = apply(stepper, held, again)
    assert work.redelivered == 1
    assert thresholds(work, result) == [(1, 3.5), (2, 7.5)]


@pytest.mark.parametrize("each", [False, True])
def test_bad_records_beside_controls_are_named_by_their_place(each: bool) -> None:
    bad = Sent(b"n", b"{", 100, 0, [])
    some = [bad, control(1, b"1", 0), bad, metric(2), Sent(b"n", None, 3, 0, []), control(4, b"2", 1), metric(5)]
    stepper = Stepper(AGENT, SYSTEM_KEYED.name)
    work, result = apply(stepper, stepper.start(), some, each=each)
    assert [(r.row, r.error.reason) for r in work.rejected] == [(0, "malformed"), (2, "malformed"), (4, "empty")]
    assert thresholds(work, result) == [(1, 1.0), (3, 1.0), (5, 3.0), (6, 3.0)]


def test_a_control_that_a_state_fails_on_is_rejected_and_undone() -> None:
    some = [metric(0), control(1, b"1", 0), control(2, b"nonsense", 1), metric(3)]
    stepper = Stepper(AGENT, SYSTEM_KEYED.name)
    held = stepper.start()
    work, result = apply(stepper, held, some, each=True)
    assert [(int(work.row[r.row]), r.error.reason) for r in result.rejected] == [(2, "step_failed")]
    assert thresholds(work, result) == [(0, 0.0), (1, 1.0), (3, 1.0)]


def test_a_broadcast_reaches_every_partition() -> None:
    class Forwarding:
        """Turns every record into a control of its own topic's successor."""

        def step(self, batch: Batch) -> Result:
            return Result(
                broadcasts=[Broadcast(row, SYSTEM_KEYED, "test.threshold", b"1") for row in range(len(batch))]
            )

        def gauges(self) -> dict:
            return {}

    score = msgspec.json.encode(
        {"id": "i", "timestamp": 5, "node_id": "n", "anomaly_score": 0.5, "is_anomaly": False, "threshold": 0.5,
         "detection_method": "test", "model_version": "1"}
    )  # fmt: skip
    forwarding = declare("forwarding", source=SYSTEM_SCORE, state=Forwarding, publishes=())
    given = [Recorded(SYSTEM_SCORE.name, 2, 7, 5, b"n", score, ())]
    made = run([forwarding], given)[SYSTEM_KEYED]
    assert [record.partition for record in made] == list(range(SYSTEM_KEYED.partitions))
    assert {(record.key, record.value) for record in made} == {(None, None)}
    stepper = Stepper(AGENT, SYSTEM_KEYED.name)
    held = stepper.start()
    work = stepper.decode(made[:1], 0)
    assert [placed.control.kind for placed in work.controls] == ["test.threshold"]
    stepper.step(held, work)
    assert held.state.threshold[0] == 1.0  # type: ignore[attr-defined]


@pytest.mark.parametrize("sizes", [(9, 0, 1), (3, 4, 2), (1, 1, 9), (4, 3, 2)])
def test_decoded_together_each_partition_has_its_own_controls_and_rejects(sizes: Sequence[int]) -> None:
    stepper = Stepper(AGENT, SYSTEM_KEYED.name)
    broken = Sent(b"n", b"{", 9, 9000, [(header.ORIGIN, b"raw/0/9")])
    parts = [(4 + p, [*records()[9 - size :], broken][: size + p % 2]) for p, size in enumerate(sizes)]
    for work, (partition, some) in zip(stepper.decode_all(parts), parts, strict=True):
        alone = stepper.decode(some, partition)
        assert (work.origin, work.controls) == (alone.origin, alone.controls)
        assert [(row, str(error)) for row, error in work.rejected] == [(row, str(e)) for row, e in alone.rejected]
        assert work.row.tolist() == alone.row.tolist()
        assert (work.batch.partition, work.batch.key, work.origins) == (partition, alone.batch.key, alone.origins)
        for name, column in alone.batch.columns.items():
            np.testing.assert_array_equal(work.batch.columns[name], column)
