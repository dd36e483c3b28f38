"""What an artifact of a forecaster says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from offline.training.artifact import library_versions, reference_edges
from offline.training.bandwidth_input import Rows
from offline.training.bandwidth_model import Fitted
from offline.training.bandwidth_score import Quality, overall_accuracy
from offline.training.bandwidth_trace import Trace
from online_models.bandwidth.feature import FEATURE_NAMES, FEATURE_SCHEMA
from online_models.bandwidth.trained_input import CONTEXT_NAMES, LEVEL_AT, SCALE_AT
from schemas.model import Manifest
from schemas.network import TARGETS

_PACKAGES: Final = ("numpy", "onnx", "onnxruntime", "scikit-learn", "torch")


def make_manifest(
    best: Fitted,
    seen: Trace,
    training: Rows,
    found: Mapping[str, Quality],
    data: str,
    horizon_ms: int,
    seed: int,
    trained_at: int,
) -> Manifest:
    """The manifest of a model, without gates.

    Parameters
    ----------
    training
        The rows of `seen` that it learned from.
    found
        Its quality by target.
    data
        Fingerprint of the samples.
    trained_at
        UTC epoch milliseconds, of which the version is made.
    """
    metrics = {"overall_accuracy": overall_accuracy(found)}
    for target in TARGETS:
        for figure in ("mae", "mape", "r2", "ratio"):
            value = getattr(found[target], figure)
            if value is not None:
                metrics[f"{target}_{figure}"] = value
    names = best.window.input_names
    return Manifest(
        model_name="bandwidth",
        model_version=f"{best.name}-{datetime.fromtimestamp(trained_at / 1000, UTC):%Y%m%d%H%M%S}",
        feature_schema=FEATURE_SCHEMA,
        feature_names=names,
        input_shape=[len(names)],
        outputs=["forecast"],
        trained_at=trained_at,
        training_from=int(seen.time_ms[training].min()),
        training_to=int(seen.time_ms[training].max()),
        training_rows=len(training),
        training_data_sha256=data,
        metrics=metrics,
        gates=[],
        library_versions=library_versions(*_PACKAGES),
        settings=_settings(best, horizon_ms, seed),
        reference=reference_edges(seen.feature[training], list(FEATURE_NAMES)),
    )


def _settings(best: Fitted, horizon_ms: int, seed: int) -> dict[str, str]:
    """The contract of the input's shape, for whoever serves the model."""
    return {
        "architecture": best.name,
        "horizon_ms": str(horizon_ms),
        "seed": str(seed),
        "input": f"x[n, {len(best.window.input_names)}] = context[{len(CONTEXT_NAMES)}], then "
        f"window[{best.window.samples}][{len(best.window.features)}], oldest sample first",
        "context": "online_models.bandwidth.trained_input.make_context",
        "window_samples": str(best.window.samples),
        "window_features": ",".join(best.window.features),
        "level_at": str(LEVEL_AT),
        "scale_at": str(SCALE_AT),
        "output": f"forecast[n, 4] = {', '.join(TARGETS)} at the target time, in Mbps, ms, ratio, ms",
    }
