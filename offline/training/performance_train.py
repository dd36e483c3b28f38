"""A training from nodes' metrics to an artifact: label, split, fit, choose on validation, judge on test."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from offline.backtest.performance import importance_of
from offline.training.artifact import fingerprint, library_versions, reference_edges, write_artifact
from offline.training.gate import gate
from offline.training.performance_choice import block_counts, choose_breach, choose_latency, likely_ratio
from offline.training.performance_data import Rows, join_rows, make_rows
from offline.training.performance_graph import performance_graph
from offline.training.performance_model import METHODS, Fitted
from offline.training.performance_node import Node
from offline.training.performance_online import ONLINE, stream_nodes
from offline.training.performance_report import make_report
from offline.training.performance_score import Breach, Latency, score_breach, score_latency
from offline.training.split import split_by_time
from online_models.onnx_model import OnnxModel
from online_models.performance.input import INPUT_NAMES
from online_models.performance.state import MODEL_NAME
from schemas.model import Gate, Manifest
from schemas.performance import HORIZON_STEPS

STEPS: Final = tuple(range(1, HORIZON_STEPS + 1))
FEATURE_SCHEMA: Final = blake2b(" ".join(INPUT_NAMES).encode(), digest_size=8).hexdigest()

PR_AUC_RATIO_MIN: Final = 1.0
"""Of the 95th percentile over block resamples: what chance takes is not held against a method."""

ECE_MAX: Final = 0.05
P99_MS_MAX: Final = 10.0
_TIMED: Final = 300


@dataclass(frozen=True, slots=True)
class Request:
    """What to train.

    Parameters
    ----------
    out
        Folder of the artifact and its report.
    objective_ms
        Of the mean latency.
    rows
        Training rows at most, evenly over time.
    seed
        Of the trees.
    lstm_epochs
        Of the recurrent network, for comparison; 0 leaves it out.
    """

    out: Path
    objective_ms: float
    rows: int = 60_000
    seed: int = 0
    lstm_epochs: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training found; scores are of the test part."""

    breach: dict[str, Breach]
    latency: dict[str, Latency]
    probability: dict[str, NDArray[np.float64]]
    observed: NDArray[np.bool_]
    chosen_breach: str
    chosen_latency: str
    importance: dict[str, float]
    gates: list[Gate]
    facts: dict[str, str]
    loss: list[float] = field(default_factory=list)


def train_performance(nodes: Sequence[Node], request: Request, say: Callable[[str], None]) -> Outcome:
    """Train, choose, judge and write.

    Raises
    ------
    ConfigError
        When there is too little data.
    """
    say(f"inputs of {len(nodes)} nodes, {sum(len(node.time_ms) for node in nodes):,} samples")
    wide = request.lstm_epochs > 0
    rows = join_rows(
        make_rows(node.time_ms, node.values, request.objective_ms, node=k, sequence=wide)
        for k, node in enumerate(nodes)
    )
    gap_ms = int((rows.end_ms - rows.time_ms).max(initial=0))
    split = split_by_time(rows.time_ms, gap_ms=gap_ms)
    at = np.flatnonzero(split.training)
    training = rows.take(at[:: max(1, -(-len(at) // request.rows))])
    validation, test = rows.take(split.validation), rows.take(split.test)
    fitted = []
    for name, fit in METHODS.items():
        say(f"fitting {name} to {len(training):,} rows")
        fitted.append(fit(training, validation, STEPS, request.seed))
    breach, change = choose_breach(fitted, validation), choose_latency(fitted, validation, STEPS)
    shown = list(fitted)
    loss: list[float] = []
    if wide:
        from offline.training.performance_lstm import fit_lstm  # seconds to import

        network, loss = fit_lstm(training, validation, STEPS, request.seed, request.lstm_epochs, say)
        shown.append(network)
    probability = {one.name: one.probability(test) for one in shown}
    value = {one.name: one.value(test)[:, -1] for one in shown}
    probability[ONLINE], value[ONLINE] = _stream(nodes, request.objective_ms, rows, split.test)
    scores = {name: score_breach(p, test.breach) for name, p in probability.items()}
    errors = {name: score_latency(v, test.future[:, -1]) for name, v in value.items()}
    by_name = {one.name: one for one in fitted}
    importance = importance_of(by_name[breach], validation, request.seed)
    gates, facts = _write(
        request, nodes, training, test, by_name[breach], by_name[change], by_name["persistence"], scores, errors
    )
    facts |= {"rows of training, validation, test": f"{len(training):,}, {len(validation):,}, {len(test):,}"}
    facts |= {"gap between parts": f"{gap_ms / 1000:g} s", "seed": str(request.seed)}
    outcome = Outcome(scores, errors, probability, test.breach, breach, change, importance, gates, facts, loss)
    make_report(outcome, request.objective_ms).write(request.out)
    return outcome


def _stream(
    nodes: Sequence[Node], objective: float, rows: Rows, part: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the online predictor said of some rows."""
    time_ms = np.concatenate([node.time_ms for node in nodes])
    of = np.repeat(np.arange(len(nodes)), [len(node.time_ms) for node in nodes])
    values = np.concatenate([node.values for node in nodes])
    order = np.argsort(time_ms, kind="stable")
    found = stream_nodes(time_ms[order], of[order], values[order], objective)
    said = {key: k for k, key in enumerate(zip(found.time_ms.tolist(), of[order].tolist(), strict=True))}
    keys = zip(rows.time_ms[part].tolist(), rows.node[part].tolist(), strict=True)
    at = np.array([said[key] for key in keys], np.intp)
    return found.probability[at], found.value[at]


def _write(
    request: Request, nodes: Sequence[Node], training: Rows, test: Rows, breach: Fitted, change: Fitted,
    persistence: Fitted, scores: dict[str, Breach], errors: dict[str, Latency],
) -> tuple[list[Gate], dict[str, str]]:  # fmt: skip
    """Write the artifact, time it, and write it again with its gates."""
    content = performance_graph(breach, change, len(INPUT_NAMES))
    manifest = _manifest(request, nodes, training, breach.name, change.name)
    model = write_artifact(request.out, content, manifest, test.x)
    p99 = p99_ms(model, test.x)
    said, base = breach.probability(test), persistence.probability(test)
    ratio = likely_ratio(said, base, test.breach, block_counts(test))
    gates = judge(scores, errors, breach.name, change.name, ratio, p99)
    metrics = {f"breach_{k}": v for k, v in msgspec.to_builtins(scores[breach.name]).items() if v is not None}
    metrics |= {f"latency_{k}": v for k, v in msgspec.to_builtins(errors[change.name]).items() if v is not None}
    metrics = {name: float(v) for name, v in metrics.items()} | {"inference_p99_ms": p99}
    manifest = msgspec.structs.replace(manifest, metrics=metrics, gates=gates)
    write_artifact(request.out, content, manifest, test.x)
    return gates, {"artifact": f"{len(content):,} bytes, one row p99 {p99:.3f} ms", "version": manifest.model_version}


def judge(
    scores: dict[str, Breach], errors: dict[str, Latency], breach: str, change: str, ratio: float, p99: float
) -> list[Gate]:
    """The gates: no worse than the simple methods, calibrated, fast."""
    least = min(errors[name].mae for name in ("persistence", "moving_average"))
    return [
        gate("breach PR-AUC over persistence's, 95 % of chance", ratio, "at_least", PR_AUC_RATIO_MIN),
        gate("breach calibration error", scores[breach].ece, "at_most", ECE_MAX),
        gate("latency MAE over the best simple method's", errors[change].mae / least, "at_most", 1.0),
        gate("inference p99, ms", p99, "below", P99_MS_MAX),
    ]


def p99_ms(model: OnnxModel, x: NDArray[np.float32]) -> float:
    """99th percentile of the time for one row, ms."""
    took = []
    for k in range(_TIMED):
        started = perf_counter()
        model.predict(x[k % len(x)][None])
        took.append(1000.0 * (perf_counter() - started))
    return float(np.quantile(took, 0.99))


def _manifest(request: Request, nodes: Sequence[Node], training: Rows, breach: str, change: str) -> Manifest:
    now = int(time.time() * 1000)
    settings: dict[str, Any] = {
        "objective_ms": f"{request.objective_ms:g}",
        "horizon_steps": str(HORIZON_STEPS),
        "breach": breach,
        "change": change,
        "seed": str(request.seed),
        "input": "online_models.performance.input.write_input",
        "output": "probability[n, 1]; change[n, 5]: latency = current + scale * change",
    }
    return Manifest(
        model_name=MODEL_NAME,
        model_version=f"{breach}-{change}-{datetime.fromtimestamp(now / 1000, UTC):%Y%m%d%H%M%S}",
        feature_schema=FEATURE_SCHEMA,
        feature_names=list(INPUT_NAMES),
        input_shape=[len(INPUT_NAMES)],
        outputs=["probability", "change"],
        trained_at=now,
        training_from=int(training.time_ms.min()),
        training_to=int(training.end_ms.max()),
        training_rows=len(training),
        training_data_sha256=fingerprint(*(array for node in nodes for array in (node.time_ms, node.values))),
        metrics={},
        gates=[],
        library_versions=library_versions("numpy", "scikit-learn", "onnx", "onnxruntime", "torch"),
        settings=settings,
        reference=reference_edges(training.x, list(INPUT_NAMES)),
    )
