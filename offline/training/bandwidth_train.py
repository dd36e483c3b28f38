"""A training from samples to an artifact: split, fit, choose on validation, judge on test."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from offline.training.artifact import (
    METADATA_FILE,
    MODEL_FILE,
    fingerprint,
    write_artifact,
)
from offline.training.bandwidth_input import Rows, make_input, split_rows
from offline.training.bandwidth_manifest import make_manifest
from offline.training.bandwidth_model import NETWORKS, REFITTED, TRAINED, Fitted, fit_model, forecast_rows
from offline.training.bandwidth_report import Ceiling, Outcome, make_report
from offline.training.bandwidth_sample import Samples
from offline.training.bandwidth_score import (
    PUBLISHED,
    Qualities,
    judge,
    mean_ratio,
    score,
)
from offline.training.bandwidth_trace import BARS, Trace, trace
from offline.training.course import Course
from offline.training.single import memory_mb, p99_ms
from online_models.bandwidth.trained_input import CONTEXT_NAMES
from schemas.model import Gate, Manifest
from schemas.network import TARGETS

ALL: Final = "all"
NAMES: Final = (*BARS, *TRAINED, ALL)


@dataclass(frozen=True, slots=True)
class Request:
    """What to train.

    Parameters
    ----------
    model
        One of `NAMES`.
    out
        Folder of the artifact and the report.
    horizon_ms
        How far ahead.
    rows
        Training rows at most.
    course
        How networks are trained.
    ceiling
        Best reachable scores, where the generator is known.
    """

    model: str
    out: Path
    horizon_ms: int
    rows: int
    course: Course
    ceiling: Ceiling | None = None


def train_bandwidth(samples: Samples, request: Request, say: Callable[[str], None]) -> Outcome:
    """Train, choose, judge, and write `model.onnx`, `model_metadata.json` and the report.

    Raises
    ------
    ConfigError
        When there is too little data, or a library is missing.
    """
    say(f"{len(samples):,} samples of {len(samples.names)} links, through the worker's features and experts")
    seen = trace(samples, request.horizon_ms)
    training, validation, test = split_rows(seen, request.horizon_ms, request.rows)
    names = TRAINED if request.model == ALL else (request.model,)
    fitted = []
    for name in names:
        began = time.monotonic()
        fitted.append(fit_model(name, seen, training, validation, _course_of(name, request.course), say))
        say(f"{name}: trained on {len(training):,} rows in {time.monotonic() - began:.1f} s")
    checked = _forecast_all(fitted, seen, validation)
    on_validation = score(checked, seen.target[validation])
    among = (*names, *BARS) if request.model == ALL else names
    champion = min(among, key=lambda name: mean_ratio(on_validation[name]))
    if champion not in names:
        fitted.append(fit_model(champion, seen, training, validation, request.course, say))
    if champion in REFITTED:
        say(f"{champion} learns again, from the validation part too")
        again = fit_model(champion, seen, training, validation, request.course, say, refit=True)
        fitted[next(k for k, one in enumerate(fitted) if one.name == champion)] = again
    say(f"{champion} is the champion on validation; asking the test part")
    forecasts = _forecast_all(fitted, seen, test)
    quality = score(forecasts, seen.target[test])
    best = next(one for one in fitted if one.name == champion)
    gates, facts = _write(samples, request, seen, (training, validation, test), best, quality)
    outcome = Outcome(
        champion, fitted, seen, test, forecasts, on_validation, quality, gates, request.horizon_ms, facts,
        request.ceiling,
    )  # fmt: skip
    make_report(outcome).write(request.out)
    return outcome


def _course_of(name: str, course: Course) -> Course:
    """Each network has its own checkpoint and board."""
    if name not in NETWORKS or course.checkpoint is None:
        return course
    board = None if course.board is None else course.board / name
    return replace(course, checkpoint=course.checkpoint / f"{name}.pt", board=board)


def _forecast_all(fitted: Sequence[Fitted], seen: Trace, row: Rows) -> dict[str, Any]:
    """Forecasts by name, `[len(row), 4]`: the online forecaster's, the bars', and those of what was trained."""
    found = {PUBLISHED: seen.published[row]} | {name: seen.bar[row, k] for k, name in enumerate(BARS)}
    return found | {one.name: forecast_rows(one, seen, row) for one in fitted if one.name not in BARS}


def _write(
    samples: Samples, request: Request, seen: Trace, parts: tuple[Rows, Rows, Rows], best: Fitted, quality: Qualities
) -> tuple[list[Gate], dict[str, Any]]:
    """Write the artifact, measure it, and write it once more with what was measured; gates and facts."""
    training, _, test = parts
    x = make_input(seen, best.window, test[:: max(1, len(test) // 1000)])
    data = fingerprint(samples.time_ms, samples.link, *(samples.columns[name] for name in TARGETS))
    learned = np.concatenate(parts[:2]) if best.name in REFITTED else training
    manifest = make_manifest(
        best, seen, learned, quality[best.name], data, request.horizon_ms, request.course.seed, int(time.time() * 1000)
    )
    model = write_artifact(request.out, best.content, manifest, x)
    p99, memory = p99_ms(model, x), memory_mb(request.out / MODEL_FILE, x.shape[1])
    gates = judge(quality[best.name], p99, memory)
    metrics = manifest.metrics | {"inference_p99_ms": p99, "memory_mb": memory}
    manifest = _replace(manifest, metrics=metrics, gates=gates)
    write_artifact(request.out, best.content, manifest, x, _metadata(request, best, metrics, parts))
    facts = {
        "samples": f"{len(samples):,} of {len(samples.names)} links",
        "from, to (UTC)": f"{_moment(int(samples.time_ms[0]))}, {_moment(int(samples.time_ms[-1]))}",
        "rows of training, validation, test": ", ".join(f"{len(part):,}" for part in parts),
        "test from (UTC)": _moment(int(seen.time_ms[test].min())),
        "seed": request.course.seed,
        "data": manifest.training_data_sha256[:16],
        "artifact": f"{len(best.content):,} bytes, single link p99 {p99:.3f} ms, memory {memory:.1f} MB",
    }
    return gates, facts


def _metadata(
    request: Request, best: Fitted, metrics: Mapping[str, float], parts: tuple[Rows, Rows, Rows]
) -> dict[str, Any]:
    """What people and dashboards look for in `model_metadata.json`."""
    return {
        "model_type": best.name,
        "framework": "onnx",
        "sequence_length": best.window.samples,
        "input_features": list(best.window.features),
        "context_features": list(CONTEXT_NAMES),
        "output_targets": list(TARGETS),
        "prediction_horizon_minutes": request.horizon_ms / 60_000,
        "training_samples": len(parts[0]),
        "validation_samples": len(parts[1]),
        "test_samples": len(parts[2]),
        "test_metrics": dict(metrics),
        "epochs": len(best.validation_loss),
        "final_training_loss": best.training_loss[-1] if best.training_loss else None,
        "best_validation_loss": min(best.validation_loss, default=None),
        "metadata_file": METADATA_FILE,
    }


def _replace(manifest: Manifest, **changes: Any) -> Manifest:
    return Manifest(**{name: getattr(manifest, name) for name in Manifest.__struct_fields__} | changes)


def _moment(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
