"""What a sample of a link costs: features, then forecast and AMST parameters, by how many links there are.

Processor time of the two compiled passes over batches of 4,000 samples, one sample a minute and link, links in an
order drawn anew for each minute, so that no row is in the cache when its turn comes; a step's encoding is not in it.
Features are a pass of their own here, over rows that the other two have just met. A further horizon costs what
features leave, beside its records.

    python -m tests.bench.link --links 50000 --json
"""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec
import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.feature import COUNTERS, FEATURE_NAMES, WINDOW, write_features
from online_models.bandwidth.link import LINK, SCORE, answer, take_in
from online_models.bandwidth.passes import FORMULA
from online_models.bandwidth.vote import BOUNDS, FORECAST, MODEL, start_models
from online_models.prefetch import ask_ahead
from online_models.slot import LINE, SlotTable
from schemas.field import LINK_TYPES
from schemas.kernel_cache import source_digest
from schemas.network import HORIZON_MS

BATCH = 4000
START_MS = 1_700_000_040_000
_WINDOW_LINES = -(-(LINK.fields["window"][1] + LINK["window"].itemsize) // LINE)


@njit
def _features(links: NDArray[Any], slot: NDArray[Any], target: NDArray[Any], counter: Any, code: Any, out: Any) -> None:
    for i in range(len(slot)):
        ask_ahead(links, slot, i, 0, _WINDOW_LINES)
        link = links[slot[i]]
        write_features(link.window, link.count, link.clock, target[i], counter[i], code[i], out[i])


def measure(links: int, minutes: int, seed: int = 0) -> dict[str, Any]:
    """Microseconds per sample, medians over the second half of the minutes."""
    rng = np.random.default_rng(seed)
    table, models = SlotTable(LINK), np.zeros(len(LINK_TYPES), MODEL)
    table.index([b"%d" % k for k in range(links)])
    rows = table.rows
    start_models(models)
    found = [_minute(rows, models, START_MS + 60_000 * k, rng) for k in range(minutes)]
    both, features = np.median(found[minutes // 2 :], axis=0) / links * 1e6
    return {
        "links": links, "features_us": features, "forecast_us": both - features, "row_bytes": LINK.itemsize,
        "bytes": {name: LINK[name].itemsize for name in LINK.names or ()}, "code": source_digest(),
    }  # fmt: skip


def _minute(rows: NDArray[Any], models: NDArray[Any], at_ms: int, rng: np.random.Generator) -> tuple[float, float]:
    """Seconds of both passes over every link's next sample, and of the features alone."""
    spent = features = 0.0
    order = rng.permutation(len(rows))
    for first in range(0, len(rows), BATCH):
        slot = order[first : first + BATCH]
        n = len(slot)
        timestamp, types = np.full(n, at_ms), np.full(n, 2)
        target = np.abs(rng.normal(100.0, 10.0, (n, 4))) * np.array([1.0, 1.0, 1e-4, 0.01])
        counter, code = np.ones((n, len(COUNTERS))), np.zeros((n, 6))
        kind, clock, period, certain = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(n), np.empty(n)
        feature, amst = np.empty((n, len(FEATURE_NAMES))), np.empty((n, 6), np.int64)
        recent = np.empty((0, WINDOW, 4), np.float32)
        began = time.thread_time()
        made, score = np.zeros(n, FORECAST), np.zeros(n, SCORE)
        take_in(
            rows,
            slot,
            timestamp,
            target,
            counter,
            code,
            600_000,
            kind,
            clock,
            period,
            feature,
            recent,
            made,
            HORIZON_MS,
        )
        answer(
            rows,
            models,
            slot,
            timestamp,
            target,
            types,
            BOUNDS,
            kind,
            period,
            made,
            certain,
            amst,
            score,
            HORIZON_MS,
            FORMULA,
        )
        spent += time.thread_time() - began
        began = time.thread_time()
        _features(rows, slot, target, counter, code, feature)
        features += time.thread_time() - began
    return spent, features


@click.command()
@click.option("--links", type=click.IntRange(1), multiple=True, default=(1000, 50_000), help="How many; repeatable.")
@click.option("--minutes", type=click.IntRange(20), default=32, show_default=True, help="Samples of each link.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def main(links: tuple[int, ...], minutes: int, as_json: bool) -> None:
    """Cost and size of a link."""
    measure(10, 20)  # compiles
    found = [measure(many, minutes) for many in links]
    if as_json:
        click.echo(msgspec.json.encode(found))
        return
    for one in found:
        click.echo(
            f"{one['links']:>8,} links: features {one['features_us']:.2f} us, forecast and AMST "
            f"{one['forecast_us']:.2f} us, {one['row_bytes']:,} bytes a link"
        )


if __name__ == "__main__":
    main()
