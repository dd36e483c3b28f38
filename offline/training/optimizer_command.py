"""`dwcp train optimizer`: what recorded rollouts of parameters teach."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Final

import click
import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from offline.training.artifact import fingerprint, library_versions, write_artifact
from offline.training.gate import gate, require
from offline.training.optimizer_fit import LEAST_ROLLOUTS, Fitted, Rollout, fit, foretell, read_rollouts
from offline.training.report import Report
from online_models.optimizer.learned import INPUTS, NAME, inputs_of
from online_models.optimizer.prior import Prior
from online_models.optimizer.space import GROUPS
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.model import Gate, Manifest
from schemas.topic import OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT, Topic
from streams.recording.file import read_recording

TRAINING_SHARE: Final = 0.7
BETTER: Final = 0.99
"""Part of the error without it that a new one may have on later rollouts: better by 1 %, as documented."""


@click.command()
@click.option("--data", "paths", type=click.Path(exists=True, dir_okay=False, path_type=Path), multiple=True,
              required=True, help="Recording of recommendations and rollouts. Repeat for more.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True,
              help="Folder for model.onnx, model_metadata.json and report.md.")  # fmt: skip
@click.option("--error-ratio", default=BETTER, show_default=True, type=click.FloatRange(0.0, min_open=True),
              help="Gate: error on the later rollouts, of that without what was learned, at most.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def optimizer(paths: Sequence[Path], out: Path, error_ratio: float, as_json: bool) -> None:
    """Learn from rollouts how this deployment's settings differ from what was measured elsewhere.

    The first 70 % of the rollouts train, the later ones judge: what the optimizer expects of a partition's must be
    better with what the others taught than without, by 1 % unless --error-ratio says otherwise. Then all of them are
    learned from. A missed gate is exit code 1.

    \b
    dwcp record optimizer.recommendation optimizer.rollout --out rollouts.jsonl.zst
    dwcp train optimizer --data rollouts.jsonl.zst --out trained
    dwcp models announce trained
    """
    priors = read_priors()
    recommendations = [one for path in paths for one in _read(path, OPTIMIZER_RECOMMENDATION)]
    steps = [one for path in paths for one in _read(path, OPTIMIZER_ROLLOUT)]
    rollouts = read_rollouts(recommendations, steps, priors)
    if len(rollouts) < LEAST_ROLLOUTS:
        given = f"{len(rollouts)} rollouts with a tested stage"
        raise ConfigError("--data", given, f"at least {LEAST_ROLLOUTS}, with their recommendations")
    cut = round(TRAINING_SHARE * len(rollouts))
    found = judge(foretell(rollouts[:cut], rollouts[cut:], priors), rollouts[cut:], error_ratio)
    fitted = fit(rollouts, priors)
    manifest = _write(out, fitted, found, rollouts, priors)
    if as_json:
        summary = {"artifact": str(out), "rollouts": len(rollouts), "share": fitted.share, "gates": manifest.gates}
        click.echo(msgspec.json.encode(summary | found.metrics).decode())
    else:
        click.echo(f"{len(rollouts)} rollouts, {fitted.share:.0%} of what they differ by is common to all partitions")
        click.echo("\n".join(f"{name}: {value:.4g}" for name, value in found.metrics.items()))
    require(manifest.gates)


class Judged(msgspec.Struct):
    """How wrong expectations of later rollouts are, mean absolute logarithms, and the gates."""

    metrics: dict[str, float]
    gates: list[Gate]


def judge(told: NDArray[np.float64], later: Sequence[Rollout], most: float = BETTER) -> Judged:
    """What was learned, `[later]`, beside what was known before, and beside expecting nothing of any change."""
    surprise = np.array([one.surprise for one in later])
    left = surprise - told
    gained = surprise + np.array([one.expected for one in later])
    error, before, none = (float(np.abs(one).mean()) for one in (left, surprise, gained))
    metrics = {"error": error, "error_before": before, "error_of_expecting_nothing": none, "judged": float(len(later))}
    ratio = error / before if before > 0.0 else np.nan
    return Judged(metrics, [gate("error / error without it, later rollouts", ratio, "at_most", most)])


def read_priors() -> dict[str, Prior]:
    """What the package's measured contexts say, as workers know it."""
    at = resources.files("online_models.optimizer") / "measured"
    return {name: Prior.read((at / f"{name}.npz").read_bytes()) for name in GROUPS}


def make_graph(inputs: NDArray[np.float32], gains: NDArray[np.float32]) -> bytes:
    """A table `[s, 4]` to `[s]` as an ONNX graph: the gain of the nearest setting of the same system.

    Squared distances but for what all have in common, so that one product has them: in double precision.
    """
    scale = np.array([1e3, 1.0, 1.0, 1.0])
    table = inputs * scale
    constants = [numpy_helper.from_array(one, name) for name, one in (
        ("table", -2.0 * table.T), ("square", (table**2).sum(axis=1)), ("scale", scale), ("gains", gains)
    )]  # fmt: skip
    nodes = [
        helper.make_node("Cast", ["x"], ["exact"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["exact", "scale"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "table", "square"], ["distance"]),
        helper.make_node("ArgMin", ["distance"], ["at"], axis=1, keepdims=0),
        helper.make_node("Gather", ["gains", "at"], ["gain"]),
    ]
    graph = helper.make_graph(
        nodes, NAME, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", len(INPUTS)])],
        [helper.make_tensor_value_info("gain", TensorProto.FLOAT, ["n"])], constants,
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def _write(
    out: Path, fitted: Fitted, found: Judged, rollouts: Sequence[Rollout], priors: Mapping[str, Prior]
) -> Manifest:
    inputs = np.concatenate([inputs_of(name, prior.values) for name, prior in priors.items()])
    gains = np.concatenate([fitted.gains[name] for name in priors]).astype(np.float32)
    now_ms, shown = time.time_ns() // 1_000_000, np.array([[one.time_ms, one.surprise] for one in rollouts])
    manifest = Manifest(
        model_name=NAME, model_version=f"rollouts-{now_ms}", feature_schema="optimizer.setting.v1",
        feature_names=list(INPUTS), input_shape=[len(INPUTS)], outputs=["gain"], trained_at=now_ms,
        training_from=rollouts[0].time_ms, training_to=rollouts[-1].time_ms, training_rows=len(rollouts),
        training_data_sha256=fingerprint(shown), metrics=found.metrics, gates=found.gates,
        library_versions=library_versions("numpy", "onnx"), settings={"share": f"{fitted.share:g}"},
    )  # fmt: skip
    rng = np.random.default_rng(0)
    golden = inputs[rng.choice(len(inputs), 32, replace=False)]
    write_artifact(out, make_graph(inputs, gains), manifest, golden)
    report = Report(f"{manifest.model_name} {manifest.model_version}")
    report.text(
        f"{len(rollouts)} rollouts; of the first {TRAINING_SHARE:.0%}, those of other partitions "
        f"trained what was judged on each later one."
    )
    report.gates(manifest.gates)
    report.heading("Errors of what was expected of later rollouts, mean absolute logarithm")
    report.table(("of", "value"), list(found.metrics.items()))
    report.heading("Learned of settings, logarithms")
    report.table(("system", "rollouts", "largest gain", "largest loss"), [
        (name, sum(one.system == name for one in rollouts), float(own.max()), float(own.min()))
        for name, own in fitted.gains.items()
    ])  # fmt: skip
    report.write(out)
    return manifest


def _read(path: Path, topic: Topic) -> list[Any]:
    assert topic.record is not None
    values = [record.value for record in read_recording(path) if record.topic == topic.name]
    return list(codec_of(topic.record).decode(values)[0])
