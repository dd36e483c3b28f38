r"""What errors of the forecasts of links would add to the watch over these, at as many false alarms.

A sample's error is the logarithm of its ratio to what was forecast for it 15 minutes before, towards harm, in units of
the link's usual error; the largest of the four targets is held against one threshold for all links. Errors are asked
alone, at the threshold that opens as many false alarms as the watch, and beside the watch, at a tenth more; that
is held against the watch with a larger budget. A champion of `dwcp train bandwidth` forecasts beside the experts, if
one is given.

    dwcp simulate --only network --links 48 --seconds 172800 --faults random --seed 341 --out a.jsonl.zst \
        --truth a.truth
    python -m tests.bench.residual a.jsonl.zst a.truth [b.jsonl.zst b.truth...] [--champion model.onnx]
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import click
import numpy as np

from offline.backtest.fault import watch_all
from offline.backtest.fault_score import Known, Said, read_truth, score_faults
from offline.backtest.fault_subject import LINKS
from offline.node_metric import read_partitions
from online_models.anomaly.alert import QUIET_MS
from online_models.bandwidth.state import NetworkState
from schemas.batch import Batch
from schemas.topic import NETWORK_FORECAST, NETWORK_SCORE
from tests.online_models.forecaster_model import serving

FORECASTS: Final = (
    "predicted_bandwidth_mbps",
    "predicted_latency_ms",
    "predicted_packet_loss",
    "predicted_jitter_ms",
)
TYPES: Final = ("throughput_drop", "latency_spike", "error_burst", "latency_spike")
"""What an error of each target speaks for."""

_HARM: Final = np.array([-1.0, 1.0, 1.0, 1.0])
_OFFSET: Final = np.array([0.1, 0.05, 1e-4, 0.05])
_MEMORY: Final = 500
_CLIP: Final = 4.0
_SETTLED: Final = 30
_SLICE: Final = 1_000
_MORE: Final = 1.1
_STEPS: Final = 12


class Errors(NamedTuple):
    """Of one link's samples: their times, the largest error towards harm, and of which target it is."""

    link: str
    time_ms: np.ndarray
    size: np.ndarray
    target: np.ndarray


class Day(NamedTuple):
    """A recording: its records, the truth, what the watch says, and the errors of its forecasts."""

    batches: list[Batch]
    known: Known
    said: list[Said]
    errors: list[Errors]


def run(recordings: Sequence[tuple[Path, Path]], champion: bytes | None) -> dict[str, Any]:
    """The watch, errors alone and both, summed over recordings."""
    days = []
    for recording, truth in recordings:
        batches = read_partitions(recording, topics=LINKS.topics)
        errors = [one for batch in batches for one in _errors(batch, champion)]
        days.append(Day(batches, read_truth(truth, LINKS), _watch(batches, 1.0), errors))
    watch = _score(days, lambda day: day.said)
    rate = watch["false_alarms_per_day"]
    return {
        "watch": watch,
        "errors_alone": _at_rate(days, rate, lambda day, said: said),
        "watch_and_errors": _at_rate(days, _MORE * rate, lambda day, said: day.said + said),
        "watch_with_a_larger_budget": _score(days, lambda day: _watch(day.batches, _MORE)),
    }


def _watch(batches: Sequence[Batch], more: float) -> list[Said]:
    return watch_all(batches, more * LINKS.budget, LINKS).said


def _errors(batch: Batch, champion: bytes | None) -> Iterator[Errors]:
    """Errors of the forecasts by the worker's state, by link."""
    state = NetworkState() if champion is None else serving(champion)
    made: dict[tuple[str, int], np.ndarray] = {}
    met: dict[str, list[tuple[int, np.ndarray]]] = {}
    for first in range(0, len(batch), _SLICE):
        outputs = state.step(batch.take(first, min(first + _SLICE, len(batch)))).outputs
        columns = outputs[NETWORK_FORECAST].columns
        predicted = np.maximum(np.column_stack([columns[name] for name in FORECASTS]), 0.0)
        made |= zip(_keys(columns), predicted, strict=True)
        if NETWORK_SCORE in outputs:
            columns = outputs[NETWORK_SCORE].columns
            at = np.asarray(columns["timestamp"]).tolist()
            for key, time_ms, actual in zip(_keys(columns), at, np.asarray(columns["actual"]), strict=True):
                away = (np.log(actual + _OFFSET) - np.log(made[key] + _OFFSET)) * _HARM
                met.setdefault(key[0], []).append((time_ms, away))
    for link, pairs in met.items():
        size, target = _in_units(np.array([away for _, away in pairs]))
        yield Errors(link, np.array([at for at, _ in pairs]), size, target)


def _keys(columns: Any) -> list[tuple[str, int]]:
    """Each row's link, and when its forecast was made."""
    made_at = np.asarray(columns["prediction_time"]).tolist()
    return [(str(link), at) for link, at in zip(LINKS.named(columns).tolist(), made_at, strict=True)]


def _in_units(away: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Largest error towards harm of each sample and its target; a unit is the mean size so far, of late."""
    unit = np.abs(away[:_SETTLED]).mean(axis=0) + 1e-3
    size, target = np.zeros(len(away)), np.zeros(len(away), np.intp)
    for k in range(_SETTLED, len(away)):
        scaled = away[k] / unit
        target[k] = int(np.argmax(scaled))
        size[k] = scaled[target[k]]
        unit += (np.minimum(np.abs(away[k]), _CLIP * unit) - unit) / min(k, _MEMORY)
    return size, target


def _beyond(day: Day, threshold: float) -> list[Said]:
    said = []
    for one in day.errors:
        last: dict[str, int] = {}
        for k in np.flatnonzero(one.size > threshold).tolist():
            at, kind = int(one.time_ms[k]), TYPES[one.target[k]]
            said.append(Said(one.link, at, kind, kind not in last or at - last[kind] >= QUIET_MS))
            last[kind] = at
    return said


def _at_rate(days: Sequence[Day], rate: float, join: Callable[[Day, list[Said]], list[Said]]) -> dict[str, Any]:
    """The score at the lowest threshold that keeps to a rate of false alarms."""

    def score(threshold: float) -> dict[str, Any]:
        return _score(days, lambda day: join(day, _beyond(day, threshold)))

    low, high = 1.0, 1000.0
    for _ in range(_STEPS):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if score(middle)["false_alarms_per_day"] > rate else (low, middle)
    return score(high) | {"threshold": round(high, 2)}


def _score(days: Sequence[Day], said: Callable[[Day], list[Said]]) -> dict[str, Any]:
    scores = [score_faults(day.known, said(day), day.batches, LINKS) for day in days]
    total = {name: sum(getattr(one, name) for one in scores) for name in ("injected", "found", "typed")}
    rate = sum(one.false_alarms for one in scores) / sum(one.days for one in scores)
    return total | {"false_alarms_per_day": round(rate, 3)}


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--champion", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Trained forecaster.")
def _main(files: tuple[Path, ...], champion: Path | None) -> None:
    pairs = list(zip(files[::2], files[1::2], strict=True))
    click.echo(json.dumps(run(pairs, None if champion is None else champion.read_bytes()), indent=2))


if __name__ == "__main__":
    _main()
