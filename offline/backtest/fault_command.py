"""`dwcp backtest anomaly --recording`: the worker's detector against injected faults."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec

from offline.backtest.fault import SIGMA, three_sigma, watch_nodes
from offline.backtest.fault_score import FaultScore, TypeScore, read_truth, scatter, score_faults
from offline.node_metric import read_partitions

_SEED: Final = 1


class Report(msgspec.Struct, frozen=True):
    """The JSON document; `random` is a draw with a seed, `three_sigma` a plain rule on the same records."""

    recording: str
    truth: str
    records: int
    budget_false_alarms_per_node_day: float
    us_per_record: float
    detector: FaultScore
    three_sigma: FaultScore
    random: FaultScore


def report_faults(recording: Path, truth: Path, alarms_per_day: float) -> Report:
    """Stream a recording's nodes through the worker's states, and score the alerts.

    Raises
    ------
    ConfigError
        When one of the files cannot be used.
    """
    faults = read_truth(truth)
    batches = read_partitions(recording)
    watched = watch_nodes(batches, alarms_per_day)
    return Report(
        recording=str(recording),
        truth=str(truth),
        records=watched.records,
        budget_false_alarms_per_node_day=alarms_per_day,
        us_per_record=round(watched.seconds / max(watched.records, 1) * 1e6, 2),
        detector=score_faults(faults, watched.said, batches),
        three_sigma=score_faults(faults, three_sigma(batches), batches),
        random=score_faults(faults, scatter(watched.said, batches, _SEED), batches),
    )


def show_faults(report: Report) -> None:
    """The report as a table on stdout."""
    one = report.detector
    click.echo(f"{report.recording}: {report.records:,} records, {report.us_per_record} us per record")
    header = ("injected", "found", "typed", "in range", "delay s")
    click.echo(f"{'':22}" + "".join(f"{name:>10}" for name in header))
    rows: list[tuple[str, TypeScore | FaultScore]] = [*one.types.items(), ("all", one)]
    for name, score in rows:
        delay = "-" if score.median_delay_s is None else f"{score.median_delay_s:.0f}"
        cells = (score.injected, score.found, score.typed, score.within_usual, delay)
        click.echo(f"{name:22}" + "".join(f"{cell:>10}" for cell in cells))
    click.echo("in range: the metrics stayed within what the node showed outside faults")
    compared = (("detector", one), (f"{SIGMA:g} deviations", report.three_sigma), ("random", report.random))
    for name, whole in compared:
        share = whole.found / whole.injected, whole.typed / whole.injected
        rate = f"{whole.false_alarms_per_node_day:.2f} false alarms per node and day"
        click.echo(f"{name:22}found {share[0]:.3f}, typed {share[1]:.3f}, {rate} over {whole.node_days:.1f} node days")
    click.echo(f"budget {report.budget_false_alarms_per_node_day:g}; types of the false alarms: "
               + (", ".join(f"{kind} {n}" for kind, n in one.false_alarms_by_type.items()) or "none"))  # fmt: skip
