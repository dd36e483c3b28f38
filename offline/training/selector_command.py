"""`dwcp train selector`: from recordings to a model that workers can load."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import click
import msgspec

from offline.training.gate import require
from offline.training.selector_data import read_transfers
from schemas.error import ConfigError
from streams.recording.progress import progress

_NAMES = ("logistic", "boosting", "network")


@click.command()
@click.option("--data", "paths", multiple=True, required=True, type=click.Path(dir_okay=False, path_type=Path),
              help="A recording with compression telemetry, raw or keyed; again for more.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the artifact.")
@click.option("--candidate", "names", multiple=True, type=click.Choice(_NAMES), default=_NAMES, show_default=True,
              help="What to try; again for more.")  # fmt: skip
@click.option("--fleet", type=click.Path(dir_okay=False, path_type=Path),
              help="What `dwcp simulate --json` printed of the recording: gives the best reachable.")  # fmt: skip
@click.option("--bank", type=click.Path(dir_okay=False, path_type=Path), help="Payload bank of that fleet.")
@click.option("--least-rows", default=100_000, show_default=True, type=click.IntRange(100),
              help="Rows that a training set must have; a smaller number is noted in the manifest.")  # fmt: skip
@click.option("--gates", default="documented", show_default=True, type=click.Choice(["documented", "better"]),
              help="What is asked of the model: the documents' limits, or that it is better than every baseline, where "
                   "the data's noise allows no more; noted in the manifest.")  # fmt: skip
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Seed of everything random.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one JSON document on stdout.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def selector(
    paths: tuple[Path, ...], out: Path, names: tuple[str, ...], fleet: Path | None, bank: Path | None,
    least_rows: int, gates: str, seed: int, as_json: bool, quiet: bool,
) -> None:  # fmt: skip
    """Train candidates for HDE or AMST on realised outcomes and write the best one as ONNX.

    The data must pass its gates: rows, missing values, classes, link types. Rows are split by time, 70 %
    to learn from, 15 % to choose and calibrate on, 15 % to judge on; the candidate with the
    least regret that is fast enough is written with a report. With a gate missed it is written
    all the same, so that the report can be read, and the exit code is 1.

    \b
    A simulated day:   dwcp simulate --out fleet.jsonl.zst --links 64 --json > fleet.json
                       dwcp train selector --data fleet.jsonl.zst --fleet fleet.json --out selector
    Trees only:        dwcp train selector --data fleet.jsonl.zst --candidate boosting --out selector
    """
    try:
        from offline.backtest.selector_ceiling import reachable
        from offline.training.artifact import write_artifact
        from offline.training.selector_report import make_report
        from offline.training.selector_train import ROWS, make_data, train
    except ImportError as exc:
        raise ConfigError("dwcp train", str(exc), "usable with its extra: pip install 'dwcp-streams[train]'") from exc

    def say(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    with progress("reading", None, "transfers", quiet) as show:
        transfers = read_transfers(paths, show)
    data = make_data(transfers, least_rows)
    require(data.gates)
    best = None if fleet is None else partial(_best, reachable, fleet, transfers, bank)
    trained = train(data, transfers, best, names, seed, say, int(time.time() * 1000), gates == "better")
    manifest = trained.manifest
    if least_rows < ROWS:
        manifest = msgspec.structs.replace(
            manifest, settings=manifest.settings | {"small_data": f"{least_rows} rows allowed instead of {ROWS}"}
        )
    source = f"Data: {', '.join(path.name for path in paths)}; seed {seed}"
    metadata = {"decision": "AMST above 0.5", "test": trained.winner.test, "baselines": trained.baselines}
    model = write_artifact(out, trained.winner.content, manifest, data.x, msgspec.to_builtins(metadata))
    make_report(trained, source).write(out)
    summary = {
        "model": manifest.model_version,
        "out": str(out),
        "sha256": model.sha256,
        "rows": len(data.x),
        "candidates": [one.test for one in trained.candidates],
        "baselines": trained.baselines,
        "gates": trained.gates,
        "passed": all(one.passed for one in trained.gates),
    }
    if as_json:
        click.echo(msgspec.json.encode(summary).decode())
    else:
        for one in (*(c.test for c in trained.candidates), *trained.baselines):
            click.echo(f"{one.name:20} accuracy {one.accuracy:.4f}  regret {one.regret:.4f}  p95 {one.regret_p95:.4f}")
        click.echo(f"{out}/model.onnx: {manifest.model_version}, report in {out}/report.md")
    require(trained.gates)


def _best(reachable, fleet, transfers, bank, row):  # type: ignore[no-untyped-def]
    return reachable(fleet, transfers.columns, row, bank)
