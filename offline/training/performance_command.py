"""`dwcp train performance`: a predictor of latency objectives that break, from nodes' metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from offline.training.gate import require
from offline.training.performance_node import read_nodes
from offline.training.performance_train import Outcome, Request, train_performance
from online_models.performance.state import OBJECTIVE_MS


@click.command()
@click.option("--data", "paths", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
              required=True, help="System metrics: a .parquet data set or a recording. Repeat for more.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Folder for model.onnx, model_metadata.json and report.md.")  # fmt: skip
@click.option("--objective-ms", type=click.FloatRange(0, min_open=True), default=OBJECTIVE_MS, show_default=True,
              help="What mean latency must not exceed.")  # fmt: skip
@click.option("--rows", type=click.IntRange(200), default=60_000, show_default=True,
              help="Training rows at most, evenly over time.")  # fmt: skip
@click.option("--lstm", "lstm_epochs", type=click.IntRange(0), default=0, show_default=True, metavar="EPOCHS",
              help="Also train the recurrent network, for comparison; slow without a GPU.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of trees and networks.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def performance(
    paths: Sequence[Path], out: Path, objective_ms: float, rows: int, lstm_epochs: int, seed: int, as_json: bool
) -> None:
    """Train a predictor of latency objectives that break within 5 samples, and judge it on later samples.

    The first 70 % of the time train, the next 15 % choose and calibrate, the last 15 % are asked once; a horizon lies
    between them. Persistence, moving average, a line and gradient boosting are fitted; the
    cheapest that none beats by 1 % on validation, in 90 % of resamples by blocks, ships, for breaches and for latency
    apart. A missed gate is exit code 1; the artifact and its report are there.

    \b
    A fleet to try it on:   dwcp simulate --only system --nodes 32 --seconds 14400 --faults random
                              --out fleet.jsonl.zst --truth fleet.truth
    Train:                  dwcp train performance --data fleet.jsonl.zst --out trained --objective-ms 200
    """
    request = Request(out, objective_ms, rows, seed, lstm_epochs)
    outcome = train_performance(read_nodes(paths), request, lambda line: click.echo(line, err=True))
    click.echo(msgspec.json.encode(_summary(outcome, out)).decode() if as_json else "\n".join(_table(outcome, out)))
    require(outcome.gates)


def _summary(outcome: Outcome, out: Path) -> dict[str, object]:
    return {
        "artifact": str(out),
        "chosen": {"breach": outcome.chosen_breach, "latency": outcome.chosen_latency},
        "facts": outcome.facts,
        "breach": outcome.breach,
        "latency": outcome.latency,
        "importance": outcome.importance,
        "gates": outcome.gates,
    }


def _table(outcome: Outcome, out: Path) -> list[str]:
    """Lines that show every method on the test part."""
    base = next(iter(outcome.breach.values()))
    lines = [f"{base.n:,} rows judged, {100 * base.base_rate:.2f} % of them breaches"]
    lines.append(
        f"{'method':<16}" + "".join(f"{head:>10}" for head in ("PR-AUC", "ROC-AUC", "Brier", "ECE", "MAE", "R2"))
    )
    for name, b in outcome.breach.items():
        v = outcome.latency[name]
        cells = (b.pr_auc, b.roc_auc, b.brier, b.ece, v.mae, v.r2)
        lines.append(f"{name:<16}" + "".join(f"{'-' if c is None else f'{c:.4g}':>10}" for c in cells))
    lines.append(f"chosen: breach by {outcome.chosen_breach}, latency by {outcome.chosen_latency}")
    missed = [one.gate for one in outcome.gates if not one.passed]
    lines.append(f"written to {out}, see {out / 'report.md'}")
    lines.append(f"gates missed: {', '.join(missed)}" if missed else "all gates passed")
    return lines
