"""Artifacts of trained forecasters: which ones a worker can ask."""

from __future__ import annotations

from online_models.bandwidth.model import OUTPUT
from online_models.bandwidth.trained_input import COMPACT, NEWEST
from online_models.onnx_model import OnnxModel
from schemas.error import FeatureMismatch, ModelRejected
from schemas.network import HORIZON_MS


def load_forecaster(content: bytes, horizon_ms: int = HORIZON_MS) -> OnnxModel:
    """A forecaster that workers can ask, of an artifact's bytes.

    Raises
    ------
    ModelRejected, FeatureMismatch
        When it does not verify, asks for samples that links do not keep, or looks another horizon ahead.
    """
    try:
        model = OnnxModel(content, NEWEST.input_names)
    except FeatureMismatch as exc:
        model = _windowed(content, exc)
    ahead = model.manifest.settings.get("horizon_ms", "")
    if ahead != str(horizon_ms):
        raise ModelRejected(f"it looks {ahead or 'an unknown number of'} ms ahead, asked are {horizon_ms}", "features")
    if OUTPUT not in model.manifest.outputs:
        raise ModelRejected(f"it has no output {OUTPUT!r}", "features")
    return model


def _windowed(content: bytes, newest: FeatureMismatch) -> OnnxModel:
    try:
        return OnnxModel(content, COMPACT.input_names)
    except FeatureMismatch as exc:
        allowed = "a worker asks with a link's context and its newest sample, or the targets of ten"
        raise FeatureMismatch(f"{newest}; {allowed}: train ridge, boosting or lstm") from exc
