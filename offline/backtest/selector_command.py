"""`dwcp backtest selector`: every way to decide, on one recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from offline.backtest.selector import Backtest, backtest_selector, goals, split
from offline.backtest.selector_ceiling import ceilings, reachable
from offline.backtest.selector_score import Quality
from offline.training.gate import SIGNS
from offline.training.selector_data import read_transfers
from online_models.onnx_model import OnnxModel
from schemas.compression import FEATURES
from schemas.error import ConfigError, ModelError
from schemas.model import Gate
from streams.recording.progress import progress


class Report(msgspec.Struct, frozen=True):
    """The JSON document; the ceilings are None where the generator is not known, `goals` are of what is published."""

    recording: str
    model: str | None
    ceiling: Quality | None
    ceiling_of_accuracy: Quality | None
    goals: list[Gate]
    backtest: Backtest


@click.command()
@click.option("--recording", type=click.Path(dir_okay=False, path_type=Path), required=True,
              help="Compression telemetry, raw or keyed.")  # fmt: skip
@click.option("--model", "directory", type=click.Path(file_okay=False, path_type=Path),
              help="Folder of a trained model, as `dwcp train selector` writes it.")  # fmt: skip
@click.option("--fleet", type=click.Path(dir_okay=False, path_type=Path),
              help="What `dwcp simulate --json` printed of the recording: gives the ceiling.")  # fmt: skip
@click.option("--bank", type=click.Path(dir_okay=False, path_type=Path), help="Payload bank of that fleet.")
@click.option("--test-fraction", type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True), default=0.15,
              show_default=True, help="Share of the transfers, the last ones, to score.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def selector(
    recording: Path, directory: Path | None, fleet: Path | None, bank: Path | None, test_fraction: float,
    as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Decide every transfer of a recording as a worker would, and score that beside what else could decide.

    Online learners see everything in order and are scored on the last part; `published` is the worker's
    chain with its fallbacks, `online` its model alone, `bandit` the chain where only the chosen side's outcome
    is seen, `linear` River's scaler and logistic regression. Majority, best side by link type and the
    table of 20 rows (link type by HDE's recent CPU) are learned on what lies before.
    Only transfers with realised outcomes of both sides are scored.

    \b
    An hour of a fleet:   dwcp simulate --out fleet.jsonl.zst --json > fleet.json
                          dwcp backtest selector --recording fleet.jsonl.zst --fleet fleet.json
    For a program:        dwcp backtest selector --recording fleet.jsonl.zst --json | jq '.backtest.deciders[0]'
    """
    champion = None if directory is None else _open(directory)
    with progress("reading", None, "transfers", quiet) as show:
        transfers = read_transfers([recording], show)
    if not quiet:
        click.echo(f"deciding {len(transfers):,} transfers", err=True)
    found = backtest_selector(transfers, champion, test_fraction)
    ceiling = most_accurate = None
    if fleet is not None:
        scored = split(transfers.columns, test_fraction)
        best = reachable(fleet, transfers.columns, scored.test, bank)
        ceiling, most_accurate = ceilings(best, scored.truth.take(scored.test))
    name = None if champion is None else champion.manifest.model_version
    report = Report(str(recording), name, ceiling, most_accurate, goals(found, most_accurate), found)
    if as_json:
        click.echo(msgspec.json.encode(report).decode())
    else:
        click.echo("\n".join(_lines(report)))


def _open(directory: Path) -> OnnxModel:
    path = directory / "model.onnx"
    try:
        return OnnxModel(path.read_bytes(), FEATURES)
    except (OSError, ModelError) as exc:
        raise ConfigError("--model", str(directory), f"a folder that `dwcp train selector` wrote ({exc})") from exc


def _lines(report: Report) -> list[str]:
    found = report.backtest
    shown = [*found.deciders, *(one for one in (report.ceiling, report.ceiling_of_accuracy) if one is not None)]
    kinds = list(found.deciders[0].link_types)
    lines = [
        f"{found.transfers:,} transfers, {found.rejected} rejected; {found.scored:,} of the last "
        f"{100 * found.test_fraction:g} % scored, {100 * found.fallback_share:.1f} % decided by a fallback",
        f"{'':24}{'accuracy':>9}{'regret %':>9}{'p95 %':>7}{'log loss':>9}{'ECE':>7}{'chance':>7}  "
        f"regret % by link type: {' '.join(kinds)}",
    ]
    for one in shown:
        by_type = " ".join(f"{100 * one.link_types[kind].regret:6.2f}" for kind in kinds)
        lines.append(
            f"{one.name:24}{one.accuracy:>9.4f}{100 * one.regret:>9.2f}{100 * one.regret_p95:>7.1f}"
            f"{_number(one.log_loss):>9}{_number(one.ece):>7}{_number(one.ece_noise):>7}  {by_type}"
        )
    lines += [
        f"published, {name}: precision {_number(of.precision)}, recall {_number(of.recall)}"
        for name, of in found.deciders[0].classes.items()
    ]
    lines += [
        f"{'reached' if one.passed else 'MISSED':8}{one.gate}: {one.value:.4f}, "
        f"goal {SIGNS[one.comparison]} {one.limit:g}"
        for one in report.goals
    ]
    if report.ceiling is None:
        lines.append("ceiling: unknown; --fleet says how the recording was simulated")
    return lines


def _number(value: Any) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.3f}"
