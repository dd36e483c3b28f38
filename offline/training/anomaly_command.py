"""`dwcp train anomaly`: isolation forests from recorded metrics of nodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
import numpy as np

from offline.backtest.fault_score import read_truth
from offline.training.anomaly_data import FORMS, Form, read_rows
from offline.training.anomaly_forest import FORESTS
from offline.training.anomaly_train import SHIFT, Outcome, Separation, train_forests
from offline.training.gate import require
from offline.training.report import Report, make_figure


@click.command()
@click.option("--data", "paths", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
              required=True, help="Nodes' metrics: recording or .parquet data set. Repeat for more.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Folder for model.onnx, model_metadata.json and report.md.")  # fmt: skip
@click.option("--input", "form", type=click.Choice(FORMS), default=FORMS[0], show_default=True,
              help="What the forests see: deviations from each node's own baseline, or the metrics; "
                   "workers serve the former only.")  # fmt: skip
@click.option("--truth", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="Faults in the data (`dwcp simulate --truth`), for judging only.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the forests and the judging.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def anomaly(paths: Sequence[Path], out: Path, form: Form, truth: Path | None, seed: int, as_json: bool) -> None:
    """Train isolation forests on nodes' metrics, without labels, and judge them on later records.

    One forest over the principal components of all metrics, one per group (latency, throughput,
    errors, resources, dwcp). The first 70 % of the time train, the next 15 % set the thresholds (exceeded by
    5 % of them), the last 15 % are asked once. There, half of the rows get one metric shifted towards harm: how
    well the forests tell them stands beside the largest deviation alone. A missed gate is exit code 1.

    \b
    Data to try it on:   dwcp simulate --only system --nodes 24 --seconds 14400 --faults random
                           --out a.jsonl.zst --truth a.truth
    Train:               dwcp train anomaly --data a.jsonl.zst --truth a.truth --out trained
    In the worker:       dwcp backtest anomaly --recording b.jsonl.zst --truth b.truth --forest trained/model.onnx
    """
    faults = None if truth is None else read_truth(truth).faults
    click.echo("reading", err=True)
    rows = read_rows(paths, form)
    click.echo(f"training on {len(rows.time_ms):,} records of {len(set(rows.node.tolist()))} nodes", err=True)
    outcome = train_forests(rows, form, seed, out, faults)
    write_report(outcome, form).write(out)
    if as_json:
        click.echo(msgspec.json.encode(_summary(outcome, out)).decode())
    else:
        _show(outcome, out)
    require(outcome.manifest.gates)


def write_report(outcome: Outcome, form: str) -> Report:
    """The report of a training."""
    manifest, split = outcome.manifest, outcome.split
    report = Report(f"{manifest.model_name} {manifest.model_version}")
    report.text(f"Isolation forests over {len(manifest.feature_names)} {form}, fitted to {split.training.sum():,} "
                f"records, thresholds from the next {split.validation.sum():,}, judged on the last "
                f"{split.test.sum():,}. Seed {manifest.settings['seed']}.")  # fmt: skip
    report.heading("Gates")
    report.gates(manifest.gates)
    report.heading("Sick rows told from well ones")
    report.table(("what", "rows", "sick", "AUC", "AUC of the largest deviation", "AP", "AP of the largest deviation"),
                 [(name, *one) for name, one in _separations(outcome)])  # fmt: skip
    report.heading("Thresholds")
    above = (outcome.scores > outcome.thresholds).mean(axis=0).tolist()
    report.table(("forest", "threshold", "test rows above"), list(zip(FORESTS, outcome.thresholds, above, strict=True)))
    report.text(f"{outcome.us_alone:g} us for a row alone, {outcome.us_together:g} us a row among a thousand.")
    figure = make_figure()
    axes = figure.axes[0]
    bins = np.linspace(0.0, max(1.5, float(outcome.ratio.max())), 80).tolist()
    for name, part in split._asdict().items():
        axes.hist(outcome.ratio[part], bins=bins, density=True, histtype="step", label=name)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set(xlabel="highest score / threshold", ylabel="density", yscale="log")
    axes.legend()
    report.figure("score", figure, "Scores of the three parts; the line is the threshold")
    return report


def _separations(outcome: Outcome) -> list[tuple[str, Separation]]:
    found = [(f"one metric shifted by {SHIFT:g} deviations", outcome.injected)]
    return found if outcome.faults is None else [*found, ("known faults", outcome.faults)]


def _summary(outcome: Outcome, out: Path) -> dict[str, object]:
    return {
        "artifact": str(out),
        "model_version": outcome.manifest.model_version,
        "training_rows": outcome.manifest.training_rows,
        "thresholds": dict(zip(FORESTS, outcome.thresholds.tolist(), strict=True)),
        "injected": outcome.injected._asdict(),
        "faults": None if outcome.faults is None else outcome.faults._asdict(),
        "us_per_row_alone": outcome.us_alone,
        "us_per_row": outcome.us_together,
        "gates": outcome.manifest.gates,
    }


def _show(outcome: Outcome, out: Path) -> None:
    click.echo(f"{'':38}{'AUC':>8}{'largest deviation':>20}{'AP':>8}{'largest deviation':>20}")
    for name, one in _separations(outcome):
        click.echo(
            f"{name:38}{one.auc:8.3f}{one.auc_deviation:20.3f}{one.precision:8.3f}{one.precision_deviation:20.3f}"
        )
    click.echo(f"{outcome.us_together:g} us a row among a thousand, {outcome.us_alone:g} us alone")
    missed = [one.gate for one in outcome.manifest.gates if not one.passed]
    click.echo(f"written to {out}, see {out / 'report.md'}")
    click.echo(f"gates missed: {', '.join(missed)}" if missed else "all gates passed")
