"""Training and judging of the isolation forests: fit, threshold on later rows, judge on the last."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from offline.backtest.fault_score import Fault
from offline.training.anomaly_data import Form, NodeRows, feature_names
from offline.training.anomaly_forest import CONTAMINATION, FORESTS, fit_forests, score_rows, thresholds_of
from offline.training.anomaly_graph import OUTPUTS, export_forests
from offline.training.artifact import fingerprint, library_versions, reference_edges, write_artifact
from offline.training.gate import gate
from offline.training.split import Split, split_by_time
from online_models.anomaly.rule import HARM
from online_models.onnx_model import OnnxModel
from schemas.model import Gate, Manifest

MODEL_NAME: Final = "anomaly"
SHIFT: Final = 4.0
"""Deviations that a metric of half the test rows is moved by, to see whether that shows."""

_INJECTED: Final = 20_000
_TIMED: Final = 1_000


class Separation(NamedTuple):
    """How well scores tell sick rows from well ones: the forests', and the largest harmful deviation beside them."""

    rows: int
    sick: int
    auc: float
    auc_deviation: float
    precision: float
    precision_deviation: float


class Outcome(NamedTuple):
    """What came of a training.

    Parameters
    ----------
    manifest
        As written.
    split
        Which rows were for what.
    ratio
        The model's answer for every row, `[n]`.
    scores
        Of the test rows, `[n, forest]`.
    thresholds
        By forest.
    injected, faults
        Separation of injected shifts; of known faults in the test part, None without a truth file.
    us_alone, us_together
        Time per row, one at a time and by the thousand.
    """

    manifest: Manifest
    split: Split
    ratio: NDArray[np.float32]
    scores: NDArray[np.float32]
    thresholds: NDArray[np.float64]
    injected: Separation
    faults: Separation | None
    us_alone: float
    us_together: float


def train_forests(rows: NodeRows, form: Form, seed: int, out: Path, faults: list[Fault] | None) -> Outcome:
    """Train on the first rows, take thresholds from later ones, judge on the last, write the artifact.

    Raises
    ------
    ConfigError
        When there are too few rows.
    ModelRejected
        When a worker would not load what was written.
    """
    split = split_by_time(rows.time_ms)
    forests = fit_forests(rows.x[split.training], seed)
    thresholds = thresholds_of(score_rows(forests, rows.x[split.validation]))
    content = export_forests(forests, thresholds)
    draft = _manifest(rows, split, form, seed, thresholds, {}, [])
    model = write_artifact(out, content, draft, rows.x[split.test])
    answers = [model.predict(rows.x[first : first + 10_000]) for first in range(0, len(rows.x), 10_000)]
    ratio, scores = (np.concatenate([answer[name] for answer in answers]) for name in ("ratio", "score"))
    some = rows.x[split.test][:_TIMED]
    parity = float(np.abs(model.predict(some)["score"] - score_rows(forests, some)).max())
    injected = separate_injected(model, rows, split.test, form, seed)
    known = None if faults is None else separate_faults(rows, split.test, ratio, faults)
    alone, together = _time(model, some)
    flagged = float((scores[split.test, 0] > thresholds[0]).mean())
    gates = [
        gate("score_parity", parity, "at_most", 1e-4),
        gate("flagged_share", flagged, "at_most", 2.0 * CONTAMINATION),
        gate("injected_auc", injected.auc, "at_least", 0.8),
        gate("us_per_row", together, "at_most", 500.0),
        gate("artifact_mb", len(content) / 1e6, "at_most", 10.0),
    ]
    metrics = {
        "flagged_share": flagged,
        "injected_auc": injected.auc,
        "injected_auc_largest_deviation": injected.auc_deviation,
        "score_parity": parity,
    }
    if known is not None:
        metrics |= {"fault_auc": known.auc, "fault_auc_largest_deviation": known.auc_deviation}
    manifest = _manifest(rows, split, form, seed, thresholds, metrics, gates, draft.trained_at)
    write_artifact(out, content, manifest, rows.x[split.test])
    return Outcome(
        manifest, split, ratio, scores[split.test], thresholds, injected, known, round(alone, 1), round(together, 1)
    )


def separate_injected(model: OnnxModel, rows: NodeRows, test: NDArray[np.bool_], form: Form, seed: int) -> Separation:
    """Move one metric of half of the test rows towards harm, and see who notices."""
    rng = np.random.default_rng(seed)
    at = rng.permutation(np.flatnonzero(test))[:_INJECTED]
    x, z = rows.x[at].copy(), rows.z[at].copy()
    sick = np.arange(len(at)) % 2 == 0
    metric = rng.integers(0, z.shape[1], len(at))
    sign = np.where(HARM[metric] == 0.0, rng.choice([-1.0, 1.0], len(at)), HARM[metric])
    unit = np.ones(len(at)) if form == "deviations" else rows.x.std(axis=0)[metric]
    row = np.flatnonzero(sick)
    x[row, metric[row]] += (SHIFT * sign * unit)[row]
    z[row, metric[row]] += (SHIFT * sign)[row]
    return _separation(sick, model.predict(x)["ratio"], _largest(z))


def separate_faults(
    rows: NodeRows, test: NDArray[np.bool_], ratio: NDArray[np.float32], faults: list[Fault]
) -> Separation | None:
    """Known faults in the test rows; None where there is none."""
    sick = np.zeros(len(rows.time_ms), np.bool_)
    for fault in faults:
        sick |= (rows.node == fault.entity) & (rows.time_ms >= fault.start_ms) & (rows.time_ms < fault.end_ms)
    if not sick[test].any():
        return None
    return _separation(sick[test], ratio[test], _largest(rows.z[test]))


def _largest(z: NDArray[np.float32]) -> NDArray[np.float64]:
    harm: NDArray[np.float64] = np.where(HARM == 0.0, np.abs(z), z * HARM).max(axis=1)
    return harm


def _separation(sick: NDArray[np.bool_], ratio: NDArray[np.float32], deviation: NDArray[np.float64]) -> Separation:
    auc, plain = (float(roc_auc_score(sick, score)) for score in (ratio, deviation))
    precision, beside = (float(average_precision_score(sick, score)) for score in (ratio, deviation))
    return Separation(len(sick), int(sick.sum()), auc, plain, precision, beside)


def _time(model: OnnxModel, x: NDArray[np.float32]) -> tuple[float, float]:
    """Median microseconds per row, one at a time and together."""
    alone = [_seconds(model, x[k : k + 1]) for k in range(min(200, len(x)))]
    together = [_seconds(model, x) for _ in range(5)]
    return float(np.median(alone)) * 1e6, float(np.median(together)) / len(x) * 1e6


def _seconds(model: OnnxModel, x: NDArray[np.float32]) -> float:
    began = time.perf_counter()
    model.predict(x)
    return time.perf_counter() - began


def _manifest(
    rows: NodeRows, split: Split, form: Form, seed: int, thresholds: NDArray[np.float64], metrics: dict[str, float],
    gates: list[Gate], now_ms: int | None = None,
) -> Manifest:  # fmt: skip
    now_ms = now_ms or int(time.time() * 1000)
    names = feature_names(form)
    training = split.training
    return Manifest(
        model_name=MODEL_NAME,
        model_version=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000)),
        feature_schema=f"node-{form}-1",
        feature_names=names,
        input_shape=[len(names)],
        outputs=list(OUTPUTS),
        trained_at=now_ms,
        training_from=int(rows.time_ms[training].min()),
        training_to=int(rows.time_ms[training].max()),
        training_rows=int(training.sum()),
        training_data_sha256=fingerprint(rows.time_ms[training], rows.x[training]),
        metrics=metrics,
        gates=gates,
        library_versions=library_versions("numpy", "scikit-learn", "onnx", "onnxruntime"),
        settings={
            "seed": str(seed),
            "contamination": f"{CONTAMINATION:g}",
            **{f"threshold_{name}": f"{value:.6f}" for name, value in zip(FORESTS, thresholds, strict=True)},
        },
        reference=reference_edges(rows.x[training], names),
    )
