"""Training a selector: data gates, split by time, candidates, calibration, gates, artifact."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.backtest.selector import Scored, best_by, learn_table
from offline.backtest.selector_ceiling import Reachable, ceilings
from offline.backtest.selector_score import Quality, Truth, quality
from offline.training.artifact import fingerprint, library_versions, reference_edges
from offline.training.gate import gate
from offline.training.selector_candidate import CANDIDATES, EVEN, Examples, Fitted, Say, fit_temperature
from offline.training.selector_data import Transfers
from offline.training.selector_graph import OUTPUT, build, fit_scaling, transform
from offline.training.split import split_by_time
from online_models.onnx_model import open_session, run_session
from online_models.selector.feature import feature_matrix
from online_models.selector.heuristic import heuristic
from online_models.selector.oracle import OUTCOME, label_of
from schemas.compression import FEATURES, CompressionTelemetry
from schemas.constraint import checks_of
from schemas.field import LINK_TYPES
from schemas.model import Gate, Manifest

MODEL_NAME: Final = "selector"
FEATURE_SCHEMA: Final = "selector-19-1"

ROWS: Final = 100_000
MISSING: Final = 0.05
CLASS_SHARE: Final = 0.30
LINK_SHARE: Final = 0.05
QUALITY: Final = 0.8
OF_CEILING: Final = 0.98

_NULLABLE: Final = [c.field for c in checks_of(CompressionTelemetry) if c.nullable and c.field in FEATURES]
_SINGLES: Final = 2000
_BATCH: Final = 1000
_BATCHES: Final = 50


class Data(NamedTuple):
    """A training set: what may teach, and in what condition it is.

    Parameters
    ----------
    x
        Raw features, float32 `[n, 19]`.
    truth
        Labels, margins, link types.
    time_ms
        Event times, int64 `[n]`.
    row
        Place of each among the transfers.
    gates
        Of the data.
    outliers
        Share of values beyond 1.5 interquartile ranges, by feature.
    """

    x: NDArray[np.float32]
    truth: Truth
    time_ms: NDArray[np.int64]
    row: NDArray[np.intp]
    gates: list[Gate]
    outliers: dict[str, float]


class Judged(NamedTuple):
    """A candidate with its calibrated graph and its figures."""

    fitted: Fitted
    content: bytes
    temperature: float
    validation_regret: float
    training: Quality
    test: Quality
    roc_auc: float
    parity: float
    single_p99_ms: float
    batch_us: float


class Trained(NamedTuple):
    """What came of a training."""

    data: Data
    candidates: list[Judged]
    winner: Judged
    probability: NDArray[np.float64]
    truth: Truth
    baselines: list[Quality]
    gates: list[Gate]
    manifest: Manifest


def make_data(transfers: Transfers, rows: int = ROWS) -> Data:
    """Candidates for training with realised labels, and the gates of the data.

    Parameters
    ----------
    transfers
        In order of arrival.
    rows
        How many rows there must be.
    """
    columns = transfers.columns
    label = label_of(columns)
    row = np.flatnonzero((label.source == OUTCOME) & (columns["quality_score"] > QUALITY))
    kept = {name: columns[name][row] for name in (*FEATURES, "timestamp")}
    truth = Truth(label.label[row], label.margin[row], kept["link_type"])
    x = feature_matrix(kept)
    gates = [gate("rows", len(row), "at_least", rows)]
    if len(row):
        gates += [gate(f"missing {name}", float(np.isnan(kept[name]).mean()), "below", MISSING) for name in _NULLABLE]
        share = float(truth.label.mean())
        gates += [gate("share of the rarer class", min(share, 1.0 - share), "at_least", CLASS_SHARE)]
        gates += [
            gate(f"share of {kind}", float((truth.link_type == kind).mean()), "above", LINK_SHARE)
            for kind in LINK_TYPES
        ]
    time_ms = np.asarray(kept["timestamp"], np.int64)
    return Data(x, truth, time_ms, row, gates, _outliers(x))


def train(
    data: Data, transfers: Transfers, best: Callable[[NDArray[np.intp]], Reachable] | None, names: Sequence[str],
    seed: int, say: Say, now_ms: int, only_better: bool = False,
) -> Trained:  # fmt: skip
    """Fit candidates on the first 70 %, choose by regret on the next 15 %, judge on the last 15 %.

    Parameters
    ----------
    data
        From `make_data`.
    transfers
        The same, with all columns, for the baselines.
    best
        Gives the best decisions for rows of `transfers` where the generator is known.
    names
        Which of `CANDIDATES`.
    seed
        Of everything random.
    say
        Is told how far it got.
    now_ms
        Time of the training; the version is named after it.
    only_better
        Judge by `better_gates`, not by the documents'; the manifest says so.
    """
    parts = split_by_time(data.time_ms)
    scaling = fit_scaling(data.x[parts.training])
    z = transform(data.x, scaling)
    weight = EVEN + (1.0 - EVEN) * data.truth.margin

    def examples(mask: NDArray[np.bool_]) -> Examples:
        return Examples(z[mask], data.truth.label[mask], data.truth.margin[mask], weight[mask])

    training, validation = examples(parts.training), examples(parts.validation)
    test = np.flatnonzero(parts.test)
    candidates = []
    for name in names:
        fitted = CANDIDATES[name](training, validation, seed, say)
        temperature = fit_temperature(fitted.logit(validation.z), validation.label)
        content = build(scaling, fitted.body, temperature)
        candidates.append(_judge(fitted, content, temperature, data, validation, z, parts.training, test))
    winner = choose(candidates)
    baselines, reached, auc = _baselines(data, transfers, parts.training, test, best)
    gates = data.gates + (better_gates(winner, baselines) if only_better else model_gates(winner, reached, auc))
    metrics = {
        "accuracy": winner.test.accuracy, "regret": winner.test.regret, "regret_p95": winner.test.regret_p95,
        "log_loss": winner.test.log_loss or 0.0, "ece": winner.test.ece or 0.0, "roc_auc": winner.roc_auc,
        "validation_regret": winner.validation_regret, "single_p99_ms": winner.single_p99_ms,
        "batch_us": winner.batch_us, "temperature": winner.temperature,
    }  # fmt: skip
    manifest = Manifest(
        model_name=MODEL_NAME,
        model_version=time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ms / 1000)) + f"-{winner.fitted.name}",
        feature_schema=FEATURE_SCHEMA,
        feature_names=list(FEATURES),
        input_shape=[len(FEATURES)],
        outputs=[OUTPUT],
        trained_at=now_ms,
        training_from=int(data.time_ms[parts.training].min()),
        training_to=int(data.time_ms[parts.training].max()),
        training_rows=int(parts.training.sum()),
        training_data_sha256=fingerprint(data.x[parts.training], data.truth.label[parts.training]),
        metrics=metrics,
        gates=gates,
        library_versions=library_versions("numpy", "scikit-learn", "torch", "onnx", "onnxruntime"),
        settings={
            "candidate": winner.fitted.name,
            "seed": str(seed),
            "label": "collection_plan, realised outcomes",
            "gates": "better than every baseline" if only_better else "documented",
        },
        reference=reference_edges(data.x[parts.training], list(FEATURES)),
    )
    p = run_session(open_session(winner.content), data.x[test])[OUTPUT].astype(np.float64)
    return Trained(data, candidates, winner, p, data.truth.take(test), baselines, gates, manifest)


def choose(candidates: Sequence[Judged]) -> Judged:
    """The least regret on the validation part among those that are fast enough, or among all if none is."""
    fast = [one for one in candidates if one.single_p99_ms < 1.0 and one.batch_us <= 1.0]
    return min(fast or candidates, key=lambda one: one.validation_regret)


def model_gates(winner: Judged, reached: Quality | None = None, reached_auc: float = 1.0) -> list[Gate]:
    """The gates of promotion, given the ceiling's figures where it is known.

    The documents ask for 98 % of the accuracy that the data allows, and for 95 % precision and
    recall, which data with a ceiling near 95 % do not allow at all. So with a known ceiling every limit is the
    documented one or 98 % of what the ceiling reaches, whichever is less.
    """
    gates = []
    if reached is not None:
        gates.append(gate("accuracy of the ceiling's", winner.test.accuracy / reached.accuracy, "at_least", OF_CEILING))
    for name, of in winner.test.classes.items():
        for figure in ("precision", "recall"):
            limit = 0.95
            if reached is not None:
                limit = min(limit, OF_CEILING * (getattr(reached.classes[name], figure) or 1.0))
            value = getattr(of, figure)
            gates.append(gate(f"{figure} {name}", np.nan if value is None else value, "above", limit))
    return [
        *gates,
        gate("ROC-AUC", winner.roc_auc, "above", min(0.99, OF_CEILING * reached_auc)),
        gate("single row p99, ms", winner.single_p99_ms, "below", 1.0),
        gate("batched, us per decision", winner.batch_us, "at_most", 1.0),
        gate("file, MB", len(winner.content) / 1e6, "below", 10.0),
        gate("training - test accuracy", winner.training.accuracy - winner.test.accuracy, "below", 0.03),
        gate("ONNX parity", winner.parity, "below", 1e-4),
    ]


def better_gates(winner: Judged, baselines: Sequence[Quality]) -> list[Gate]:
    """Less than the documents ask, for data whose noise does not allow their limits: better than every baseline.

    A worker serves nothing that is slow, and the sidecar promotes nothing that is not better than what is published.
    """
    rivals = [one for one in baselines if not one.name.startswith("ceiling")]
    return [
        gate("accuracy", winner.test.accuracy, "above", max(one.accuracy for one in rivals)),
        gate("regret", winner.test.regret, "below", min(one.regret for one in rivals)),
        gate("single row p99, ms", winner.single_p99_ms, "below", 1.0),
        gate("file, MB", len(winner.content) / 1e6, "below", 10.0),
        gate("ONNX parity", winner.parity, "below", 1e-4),
    ]


def roc_auc(probability: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    """Area under the ROC curve: how often an AMST case ranks above an HDE case, ties half."""
    _, inverse, count = np.unique(probability, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2.0)[inverse]
    ones = float(label.sum())
    zeros = len(label) - ones
    if not ones or not zeros:
        return float("nan")
    return float((rank[label == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def _judge(
    fitted: Fitted, content: bytes, temperature: float, data: Data, validation: Examples, z: NDArray[np.float32],
    training: NDArray[np.bool_], test: NDArray[np.intp],
) -> Judged:  # fmt: skip
    session = open_session(content)

    def answer(x: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(run_session(session, x)[OUTPUT], np.float64)

    def of(name: str, row: NDArray[np.intp]) -> tuple[Quality, NDArray[np.float64]]:
        p = answer(data.x[row])
        return quality(name, (p > 0.5).astype(np.int64), data.truth.take(row), p), p

    here, _ = of(fitted.name, np.flatnonzero(training))
    there, p = of(fitted.name, test)
    own = 1.0 / (1.0 + np.exp(-np.clip(fitted.logit(z[test]) / temperature, -60, 60)))
    single, batch = _speed(answer, data.x[test])
    return Judged(
        fitted, content, temperature, validation.regret(fitted.logit(validation.z)), here, there,
        roc_auc(p, data.truth.label[test]), float(np.abs(own - p).max()), single, batch,
    )  # fmt: skip


def _speed(answer: Callable[[NDArray[np.float32]], Any], x: NDArray[np.float32]) -> tuple[float, float]:
    """99th percentile of single rows in ms; median of batches of 1000, in us per row; processor time, not waiting."""
    rows = np.resize(x, (_BATCH, x.shape[1]))
    answer(rows)
    singles, batches = np.empty(_SINGLES), np.empty(_BATCHES)
    for k in range(_SINGLES):
        one = rows[k % _BATCH : k % _BATCH + 1]
        began = time.thread_time()
        answer(one)
        singles[k] = time.thread_time() - began
    for k in range(_BATCHES):
        began = time.thread_time()
        answer(rows)
        batches[k] = time.thread_time() - began
    return float(np.quantile(singles, 0.99) * 1e3), float(np.median(batches) / _BATCH * 1e6)


def _baselines(
    data: Data, transfers: Transfers, training: NDArray[np.bool_], test: NDArray[np.intp],
    best: Callable[[NDArray[np.intp]], Reachable] | None,
) -> tuple[list[Quality], Quality | None, float]:  # fmt: skip
    """What else could have decided on the test part; where known, the most accurate decisions and their ROC-AUC."""
    columns = {name: transfers.columns[name][data.row] for name in (*FEATURES, "timestamp")}
    scored = Scored(test, np.flatnonzero(training), data.truth)
    truth = data.truth.take(test)
    kinds = np.array([LINK_TYPES.index(kind) for kind in columns["link_type"].tolist()], np.int64)
    majority = int(np.bincount(data.truth.label[training]).argmax())
    found = [
        quality("heuristic", heuristic(columns)[test], truth),
        quality("majority", np.full(len(test), majority), truth),
        quality("best by link type", best_by(kinds, scored)[test], truth),
        quality("table of 20", learn_table(columns, scored)[0][test], truth),
    ]
    if best is None:
        return found, None, 1.0
    made = best(data.row[test])
    least, most = ceilings(made, truth)
    return [least, most, *found], most, roc_auc(made.probability, truth.label)


def _outliers(x: NDArray[np.float32]) -> dict[str, float]:
    found = {}
    for k, name in enumerate(FEATURES):
        column = x[:, k][np.isfinite(x[:, k])]
        if name in ("link_type", "region", "payload_type", "has_baseline", "network_tier") or not len(column):
            continue
        low, high = np.quantile(column, [0.25, 0.75])
        reach = 1.5 * (high - low)
        found[name] = float(((column < low - reach) | (column > high + reach)).mean())
    return found
