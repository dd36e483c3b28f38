"""`dwcp train bandwidth`: a forecaster of links from recorded samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from offline.backtest.bandwidth_command import Duration
from offline.training.bandwidth_report import Ceiling, Outcome
from offline.training.bandwidth_sample import read_samples
from offline.training.bandwidth_score import mean_ratio
from offline.training.bandwidth_train import NAMES, Request, train_bandwidth
from offline.training.course import Course
from offline.training.gate import require
from schemas.error import ConfigError
from schemas.network import TARGETS


@click.command()
@click.option("--data", "paths", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
              required=True, help="Samples: .parquet data set, recording or training .csv; repeatable.")  # fmt: skip
@click.option("--model", type=click.Choice(NAMES), default="all", show_default=True,
              help="What to train; all trains every one and takes the best on validation.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Folder for model.onnx, model_metadata.json and report.md.")  # fmt: skip
@click.option("--horizon", type=Duration(), default="15min", show_default=True, help="How far ahead.")
@click.option("--rows", type=click.IntRange(200), default=60_000, show_default=True,
              help="Training rows at most, evenly over time: neighbouring minutes say nearly the same.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of weights, order and splits.")
@click.option("--epochs", type=click.IntRange(1), default=30, show_default=True, help="Of networks, at most.")
@click.option("--patience", type=click.IntRange(1), default=5, show_default=True,
              help="Epochs without a better validation loss before a network is done.")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on with networks from the checkpoints in --out.")
@click.option("--tensorboard", type=click.Path(file_okay=False, path_type=Path), help="Folder for TensorBoard.")
@click.option("--ceiling", "ceiling_path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="What `dwcp simulate --json` printed of this data: the best reachable, for the report.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def bandwidth(
    paths: Sequence[Path], model: str, out: Path, horizon: int, rows: int, seed: int, epochs: int, patience: int,
    resume: bool, tensorboard: Path | None, ceiling_path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Train a forecaster of bandwidth, latency, loss and jitter, and judge it on later samples.

    The first 70 % of the time train, the next 15 % decide when to stop and which model wins,
    the last 15 % are asked once; a horizon lies between them. Forecasts are differences to
    each link's running level in units of its scale, so levels may drift. Every figure stands
    beside persistence, moving average, climatology, and `published`, the online forecaster
    that workers run. A missed gate is exit code 1; the artifact and its report are there.

    \b
    A fleet to try it on:   dwcp simulate --only network --links 32 --seconds 1036800
                              --out fleet.jsonl.zst --json > fleet.json
    Every model:            dwcp train bandwidth --data fleet.jsonl.zst --out trained --ceiling fleet.json
    Quick, no PyTorch:      dwcp train bandwidth --data samples.parquet --model boosting --out trained
    """
    course = Course(seed, epochs, patience, out / "checkpoint", resume, tensorboard)
    ceiling = None if ceiling_path is None else _read_ceiling(ceiling_path)
    request = Request(model, out, horizon, rows, course, ceiling)
    samples = read_samples(paths)
    outcome = train_bandwidth(samples, request, lambda line: click.echo(line, err=True))
    click.echo(msgspec.json.encode(_summary(outcome, out)).decode() if as_json else "\n".join(_table(outcome, out)))
    require(outcome.gates)


def _read_ceiling(path: Path) -> Ceiling:
    try:
        document = msgspec.json.decode(path.read_bytes())
        found = document["ceiling"]["forecast"]
        return {name: table for name, table in found.items() if isinstance(table, dict)}
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as exc:
        allowed = f"the JSON document that `dwcp simulate --only network --json` prints ({exc!r})"
        raise ConfigError("--ceiling", str(path), allowed) from exc


def _summary(outcome: Outcome, out: Path) -> dict[str, object]:
    return {
        "champion": outcome.champion,
        "artifact": str(out),
        "horizon_ms": outcome.horizon_ms,
        "facts": outcome.facts,
        "validation": {name: mean_ratio(found) for name, found in outcome.validation.items()},
        "test": {name: {"mean_ratio": mean_ratio(found), **found} for name, found in outcome.quality.items()},
        "gates": outcome.gates,
    }


def _table(outcome: Outcome, out: Path) -> list[str]:
    """Lines that show every forecaster on the test part."""
    lines = [f"{'forecaster':<16}{'ratio':>8}" + "".join(f"{f'{target} MAE':>21}" for target in TARGETS)]
    for name, found in outcome.quality.items():
        shown = f"{name} *" if name == outcome.champion else name
        lines.append(f"{shown:<16}{mean_ratio(found):>8.4f}" + "".join(f"{found[t].mae:>21.5g}" for t in TARGETS))
    missed = [one.gate for one in outcome.gates if not one.passed]
    lines.append(f"* chosen on validation; written to {out}, see {out / 'report.md'}")
    lines.append(f"gates missed: {', '.join(missed)}" if missed else "all gates passed")
    return lines
