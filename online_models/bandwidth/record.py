"""What the network state publishes, as columns: features, forecasts and scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.bandwidth.amst import ACTIONS, OTHER_HORIZON, REASONS
from online_models.bandwidth.feature import FEATURE_SCHEMA
from schemas.batch import Output, pick
from schemas.network import HORIZON_MS

MODEL_NUMBER: Final = 3
MODEL_VERSION: Final = f"regret-{MODEL_NUMBER}"


def _identity(columns: Mapping[str, NDArray[Any]], row: NDArray[np.intp], *names: str) -> dict[str, Any]:
    return {name: pick(columns[name], row) for name in ("timestamp", "node_id", "peer_id", *names)}


def feature_records(columns: Mapping[str, NDArray[Any]], row: NDArray[np.intp], feature: NDArray[Any]) -> Output:
    """Features `[len(row), 34]` of the rows."""
    found = _identity(columns, row)
    return Output(row, found | {"feature_schema": [FEATURE_SCHEMA] * len(row), "features": feature})


def forecast_records(
    columns: Mapping[str, NDArray[Any]],
    row: NDArray[np.intp],
    made_at: NDArray[Any],
    made: NDArray[Any],
    certain: NDArray[Any],
    amst: NDArray[Any],
    version: list[str],
    horizon_ms: int = HORIZON_MS,
) -> Output:
    """Forecasts of the rows; `amst` `[len(row), 6]` holds the transport parameters and the action."""
    predicted = made["predicted"]
    action = amst[:, 5].tolist()
    reasons = REASONS if horizon_ms == HORIZON_MS else [OTHER_HORIZON] * len(REASONS)
    target_time = made_at + horizon_ms
    found = _identity(columns, row, "link_type") | {
        "prediction_time": made_at,
        "target_time": target_time,
        "valid_until": target_time,
        "predicted_bandwidth_mbps": predicted[:, 0],
        "predicted_latency_ms": predicted[:, 1],
        "predicted_packet_loss": predicted[:, 2],
        "predicted_jitter_ms": predicted[:, 3],
        "lower": made["lower"],
        "upper": made["upper"],
        "confidence": certain,
        "target_confidence": made["certain"],
        "model_version": version,
        "amst_streams": amst[:, 0],
        "amst_buffer_bytes": amst[:, 1],
        "amst_chunk_bytes": amst[:, 2],
        "amst_pacing_bytes_per_second": amst[:, 3],
        "amst_window_bytes": amst[:, 4],
        "amst_action": [ACTIONS[code] for code in action],
        "amst_reason": [reasons[code] for code in action],
    }
    return Output(row, found)


def score_records(
    columns: Mapping[str, NDArray[Any]],
    row: NDArray[np.intp],
    score: NDArray[Any],
    actual: NDArray[Any],
    version: list[str],
    horizon_ms: int = HORIZON_MS,
) -> Output:
    """Scores of the rows whose sample, `actual`, met a forecast, beside persistence and moving average."""
    found = _identity(columns, row, "link_type") | {
        "prediction_time": score["made_at"],
        "model_version": version,
        "actual": actual,
        "error": score["error"],
        "persistence_error": score["persistence_error"],
        "moving_average_error": score["moving_average_error"],
        "covered": score["covered"].astype(np.bool_),
        "amst_effectiveness": score["effectiveness"],
        "horizon_ms": np.full(len(row), horizon_ms),
    }
    return Output(row, found)
