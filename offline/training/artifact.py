"""Artifacts: a trained model as one ONNX file that a worker can verify."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
from numpy.typing import NDArray

from online_models.onnx_model import GOLDEN_KEY, MANIFEST_KEY, OnnxModel, open_session, pack, run_session
from schemas.model import Manifest

MODEL_FILE: Final = "model.onnx"
METADATA_FILE: Final = "model_metadata.json"
GOLDEN_ROWS: Final = 32
REFERENCE_BINS: Final = 10


def write_artifact(
    directory: Path,
    content: bytes,
    manifest: Manifest,
    golden: NDArray[Any],
    metadata: Mapping[str, Any] | None = None,
) -> OnnxModel:
    """Write `model.onnx` and `model_metadata.json`, and load the model as a worker would.

    Parameters
    ----------
    directory
        Made if it is not there.
    content
        The ONNX graph with everything inside: imputation, encodings, scaling, calibration.
    manifest
        What it says of itself.
    golden
        Inputs `[n, *input_shape]` to remember the answers to; the first 32 are kept.
    metadata
        More keys for the metadata file, which is for people and other programs; workers read the manifest.

    Raises
    ------
    ModelRejected, FeatureMismatch
        When a worker would not load it; nothing is left under the final name then.
    """
    sealed = seal(content, manifest, golden)
    model = OnnxModel(sealed, manifest.feature_names)
    directory.mkdir(parents=True, exist_ok=True)
    document = msgspec.to_builtins(manifest) | {
        "artifact": MODEL_FILE,
        "artifact_bytes": len(sealed),
        "artifact_sha256": model.sha256,
        "feature_schema_sha256": manifest.feature_schema_sha256,
        **(metadata or {}),
    }
    _replace(directory / METADATA_FILE, msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n")
    _replace(directory / MODEL_FILE, sealed)
    return model


def seal(content: bytes, manifest: Manifest, golden: NDArray[Any]) -> bytes:
    """The model with its manifest, and its answers to golden inputs, in its metadata."""
    x = np.ascontiguousarray(golden[:GOLDEN_ROWS], np.float32)
    answers = run_session(open_session(content), x)
    graph = onnx.load_from_string(content)
    del graph.metadata_props[:]
    held = {
        MANIFEST_KEY: msgspec.json.encode(manifest).decode(),
        GOLDEN_KEY: pack(x),
        **{f"{GOLDEN_KEY}.{name}": pack(answers[name]) for name in manifest.outputs},
    }
    onnx.helper.set_model_props(graph, held)
    sealed: bytes = graph.SerializeToString(deterministic=True)
    return sealed


def library_versions(*packages: str) -> dict[str, str]:
    """Versions of the installed ones of these packages."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def fingerprint(*arrays: NDArray[Any]) -> str:
    """SHA-256 of arrays: which data a model was trained on."""
    found = sha256()
    for array in arrays:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def reference_edges(x: NDArray[Any], names: list[str]) -> dict[str, list[float]]:
    """Inner edges of ten quantile bins of each feature of `x` `[n, d]`; missing values are left out."""
    inner = np.linspace(0.0, 1.0, REFERENCE_BINS + 1)[1:-1]
    columns = ((name, x[:, k][np.isfinite(x[:, k])]) for k, name in enumerate(names))
    return {name: np.quantile(column, inner).tolist() for name, column in columns if len(column)}


def _replace(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_bytes(content)
    partial.replace(path)
