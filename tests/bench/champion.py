"""A trained forecaster in a worker's state: what it is worth on a fleet, and what it costs.

The samples of a recording go through the state that workers run, twice: without a trained model, and with this one
announced after some days. Errors are those of published forecasts from then on.

    python -m tests.bench.champion fleet.jsonl.zst trained/model.onnx --days 3 --json
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from offline.training.bandwidth_sample import Samples, read_samples
from online_models.bandwidth.state import NetworkState
from schemas.batch import Batch
from schemas.network import TARGETS
from schemas.topic import NETWORK_KEYED, NETWORK_SCORE
from tests.online_models.forecaster_model import Shelf, announce

BATCH = 8000
DAY_MS = 86_400_000


def serve(samples: Samples, content: bytes | None, after: int) -> dict[str, Any]:
    """Errors over the better of persistence and moving average by target, and processor time per sample."""
    state, spent = NetworkState(), 0.0
    found: dict[str, list[Any]] = {"error": [], "persistence_error": [], "moving_average_error": []}
    for first in range(0, len(samples), BATCH):
        if content is not None and first <= after < first + BATCH:
            announce(state, Shelf(), content)
        began = time.process_time()
        result = state.step(_batch(samples, first, min(first + BATCH, len(samples))))
        if first > after and NETWORK_SCORE in result.outputs:
            spent += time.process_time() - began
            for name, parts in found.items():
                parts.append(result.outputs[NETWORK_SCORE].columns[name])
    error, last, mean = (np.concatenate(parts).mean(axis=0) for parts in found.values())
    ratio = error / np.minimum(last, mean)
    return {
        "ratio": dict(zip(TARGETS, ratio.tolist(), strict=True)),
        "geometric_mean": float(np.exp(np.log(ratio).mean())),
        "step_us": spent / (len(samples) - after) * 1e6,
        "asked": state.gauges()["forecast_model_asked"][0],
        "failed": state.gauges()["forecast_model_failed"][0],
    }


def _batch(samples: Samples, first: int, end: int) -> Batch:
    columns = {name: column[first:end] for name, column in samples.columns.items()}
    keys = [samples.names[link].encode() for link in samples.link[first:end].tolist()]
    origins = [b"bench/0/%d" % row for row in range(first, end)]
    return Batch(NETWORK_KEYED, 0, columns, keys, np.arange(first, end), origins)


@click.command()
@click.argument("recording", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("model", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--days", type=click.FloatRange(0.1), default=3.0, show_default=True, help="Before it is announced.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def main(recording: Path, model: Path, days: float, as_json: bool) -> None:
    """Serve MODEL, a model.onnx of `dwcp train bandwidth`, on the network samples of RECORDING."""
    samples = read_samples([recording])
    after = int(np.searchsorted(samples.time_ms, samples.time_ms[0] + days * DAY_MS))
    found = {name: serve(samples, content, after) for name, content in (("online", None), ("with", model.read_bytes()))}
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for name, one in found.items():
        ratios = ", ".join(f"{target} {value:.3f}" for target, value in one["ratio"].items())
        click.echo(f"{name}: {one['geometric_mean']:.4f} ({ratios}), {one['step_us']:.1f} us per sample")


if __name__ == "__main__":
    main()
