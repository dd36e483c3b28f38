"""Forecasts of links at another horizon than the contract's: the same forecaster, a state and a topic of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from online_models.arrival import LATE, LATENESS_MS
from online_models.bandwidth.link import LINK
from online_models.bandwidth.passes import Samples, answer_batch, take_batch
from online_models.bandwidth.quality import (
    add_scores,
    horizon_name,
    quality_gauges,
    start_totals,
)
from online_models.bandwidth.record import MODEL_VERSION, forecast_records, score_records
from online_models.bandwidth.vote import MODEL, start_models
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import network_batch
from schemas.batch import Batch, Output, Result, pick
from schemas.field import LINK_TYPES
from schemas.network import HORIZON_MS
from schemas.topic import NETWORK_HORIZON, NETWORK_HORIZON_SCORE, Topic


class HorizonState(PartitionState):
    """One partition's links, looked at one horizon ahead.

    What it learns is its own: levels, seasons, weights and intervals are those of its horizon. Trained models look
    15 minutes ahead and are not asked. What a part before it rejects, it does not see.

    Parameters
    ----------
    horizon_ms
        How far ahead, in ms: whole minutes.
    lateness_ms
        How far behind its link's clock a sample may be and still be answered.
    idle_ms
        How long a silent link is remembered.
    """

    def __init__(self, horizon_ms: int, lateness_ms: int = LATENESS_MS, idle_ms: int = IDLE_MS) -> None:
        self._horizon_ms = horizon_ms
        self._lateness_ms = lateness_ms
        self._models = np.zeros(len(LINK_TYPES), MODEL)
        start_models(self._models)
        self._total = start_totals()
        super().__init__(LINK, {"models": self._models, "total": self._total}, idle_ms)

    def restored(self) -> None:
        """Nothing is derived."""

    def follow(self, batch: Batch, results: Sequence[Result]) -> Result:
        """A step over what the parts before it took: links that it does not know yet have a clock there."""
        rejected = [one.row for result in results for one in result.rejected]
        if not rejected:
            return self.step(batch)
        row = np.delete(np.arange(len(batch)), rejected)
        found = self.step(batch.select(row))
        return Result({topic: output._replace(row=row[output.row]) for topic, output in found.outputs.items()})

    def apply(self, batch: Batch) -> Result:
        """Forecasts of every sample that is not late, and the scores they bring."""
        columns, horizon_ms = batch.columns, self._horizon_ms
        slot = self._table.index(batch.key)
        samples, rows = Samples.of(batch), self._table.rows
        taken = take_batch(rows, slot, batch, samples, self._lateness_ms, horizon_ms, features=False)
        certain, amst, score = answer_batch(rows, self._models, slot, samples, taken, horizon_ms)
        add_scores(self._total, score, samples.target, samples.kind_of_link)
        row, scored = (taken.kind != LATE).nonzero()[0], score["scored"].nonzero()[0]
        name = horizon_name(horizon_ms)
        outputs: dict[Topic, Output] = {}
        if len(row):
            said = forecast_records(
                columns, row, pick(taken.clock, row), pick(taken.made, row), pick(certain, row), pick(amst, row),
                [MODEL_VERSION] * len(row), horizon_ms,
            )  # fmt: skip
            outputs[NETWORK_HORIZON] = said._replace(suffix=[name] * len(row))
        if len(scored):
            versions = [MODEL_VERSION] * len(scored)
            met = score_records(columns, scored, score[scored], samples.target[scored], versions, horizon_ms)
            outputs[NETWORK_HORIZON_SCORE] = met._replace(suffix=[name] * len(scored))
        return Result(outputs)

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Errors beside their bars and coverage, labelled with the horizon."""
        return quality_gauges(self._total, self._models, self._horizon_ms)

    @classmethod
    def warm(cls) -> None:
        """Compile every kernel by running a few samples of one link."""
        state = cls(4 * HORIZON_MS)
        state.step(network_batch(timestamps_ms=[0, 60_000, 4 * HORIZON_MS]))
        state.gauges()
