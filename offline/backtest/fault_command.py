"""`dwcp backtest anomaly --recording`: the worker's detectors against injected faults, of nodes or of links."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click
import msgspec

from offline.backtest.fault import SIGMA, three_sigma, watch_all
from offline.backtest.fault_score import FaultScore, TypeScore, read_truth, scatter, score_faults
from offline.backtest.fault_subject import LINKS, NODES, nodes_with
from offline.node_metric import read_partitions
from online_models.anomaly.trained import INPUTS
from online_models.onnx_model import OnnxModel
from schemas.error import ConfigError, ModelError

_SEED: Final = 1


class Report(msgspec.Struct, frozen=True):
    """The JSON document; `random` is a draw with a seed, `three_sigma` a plain rule on the same records."""

    recording: str
    truth: str
    of: str
    records: int
    budget_false_alarms_per_day: float
    us_per_record: float
    detector: FaultScore
    three_sigma: FaultScore
    random: FaultScore


def report_faults(
    recording: Path, truth: Path, alarms_per_day: float | None = None, links: bool = False, forest: Path | None = None
) -> Report:
    """Stream a recording's nodes, or links, through the worker's states, and score the alerts.

    Parameters
    ----------
    recording, truth
        What happened.
    alarms_per_day
        Budget of false alarms; the state's own by default.
    links
        Watch the links instead of the nodes.
    forest
        Artifact of trained isolation forests that the nodes' state asks besides.

    Raises
    ------
    ConfigError
        When one of the files cannot be used.
    """
    subject = LINKS if links else NODES if forest is None else nodes_with(_read_forest(forest))
    budget = subject.budget if alarms_per_day is None else alarms_per_day
    known = read_truth(truth, subject)
    batches = read_partitions(recording, topics=subject.topics)
    watched = watch_all(batches, budget, subject)
    return Report(
        recording=str(recording),
        truth=str(truth),
        of=subject.name,
        records=watched.records,
        budget_false_alarms_per_day=budget,
        us_per_record=round(watched.seconds / max(watched.records, 1) * 1e6, 2),
        detector=score_faults(known, watched.said, batches, subject),
        three_sigma=score_faults(known, three_sigma(batches, subject), batches, subject),
        random=score_faults(known, scatter(watched.said, batches, _SEED, subject), batches, subject),
    )


def _read_forest(path: Path) -> OnnxModel:
    try:
        return OnnxModel(path.read_bytes(), features=INPUTS)
    except (OSError, ModelError) as exc:
        allowed = f"model.onnx of `dwcp train anomaly --input deviations` ({exc})"
        raise ConfigError("--forest", str(path), allowed) from exc


def show_faults(report: Report) -> None:
    """The report as a table on stdout."""
    one = report.detector
    click.echo(f"{report.recording}: {report.records:,} records, {report.us_per_record} us per record")
    header = ("injected", "found", "typed", "in range", "delay s")
    click.echo(f"{'':22}" + "".join(f"{name:>10}" for name in header))
    types = [(name, score) for name, score in one.types.items() if score.injected]
    rows: list[tuple[str, TypeScore | FaultScore]] = [*types, ("all", one)]
    for name, score in rows:
        delay = "-" if score.median_delay_s is None else f"{score.median_delay_s:.0f}"
        cells = (score.injected, score.found, score.typed, score.within_usual, delay)
        click.echo(f"{name:22}" + "".join(f"{cell:>10}" for cell in cells))
    click.echo(f"in range: the metrics stayed within what the {report.of} showed outside faults")
    compared = (("detector", one), (f"{SIGMA:g} deviations", report.three_sigma), ("random", report.random))
    for name, whole in compared:
        share = whole.found / whole.injected, whole.typed / whole.injected
        rate = f"{whole.false_alarms_per_day:.2f} false alarms per {report.of} and day"
        click.echo(
            f"{name:22}found {share[0]:.3f}, typed {share[1]:.3f}, {rate} over {whole.days:.1f} {report.of} days"
        )
    if one.explained:
        click.echo(f"{one.explained} further alarms while a link congested, failed or lost capacity by itself")
    click.echo(f"budget {report.budget_false_alarms_per_day:g}; types of the false alarms: "
               + (", ".join(f"{kind} {n}" for kind, n in one.false_alarms_by_type.items()) or "none"))  # fmt: skip
