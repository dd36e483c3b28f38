"""A trained model as one ONNX file that describes and proves itself.

The file's metadata hold its manifest and *golden vectors*: inputs, and what the model answered
to them when it was written. An `OnnxModel` exists only if the file has the features that are
computed here and still gives those answers on this machine.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from online_models.answer import blank
from schemas.error import FeatureMismatch, ModelError, ModelRejected
from schemas.model import Manifest

MANIFEST_KEY: Final = "dwcp.manifest"
GOLDEN_KEY: Final = "dwcp.golden"
"""Metadata keys; the inputs are `dwcp.golden`, each output `dwcp.golden.<name>`."""

RELATIVE: Final = 1e-3
ABSOLUTE: Final = 1e-4
"""How far answers may be from the golden ones: single precision, another processor."""

Outputs = dict[str, NDArray[Any]]


def open_session(content: bytes) -> ort.InferenceSession:
    """A session of one thread, on the processor.

    One thread, because a worker is one process per core, and a pool that spins would take it from the others.

    Raises
    ------
    ModelRejected
        When the bytes are not a model that onnxruntime can run.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what is wrong is raised
    try:
        return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as exc:  # its exceptions share no base but this one
        raise ModelRejected(f"onnxruntime cannot load it: {exc}", "format") from exc


def run_session(session: ort.InferenceSession, x: NDArray[Any]) -> Outputs:
    """Every output by name for inputs `[n, ...]`.

    Raises
    ------
    ModelError
        When the model fails on them.
    """
    names = [output.name for output in session.get_outputs()]
    feed = {session.get_inputs()[0].name: np.ascontiguousarray(x, np.float32)}
    try:
        return dict(zip(names, session.run(names, feed), strict=True))
    except Exception as exc:  # as above
        raise ModelError(f"the model failed on {x.shape}: {exc}") from exc


def pack(array: NDArray[Any]) -> str:
    """An array as text, for metadata."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return base64.b64encode(buffer.getvalue()).decode()


def unpack(text: str) -> NDArray[Any]:
    """The array that `pack` made text of."""
    array: NDArray[Any] = np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False)
    return array


class OnnxModel:
    """A verified model.

    Parameters
    ----------
    content
        The file.
    features
        The features computed here, in order.

    Raises
    ------
    ModelRejected
        When the file cannot be run, lacks its manifest, or its answers are not its golden ones.
    FeatureMismatch
        When it was trained on other features.
    """

    def __init__(self, content: bytes, features: Sequence[str]) -> None:
        self.sha256 = sha256(content).hexdigest()
        self._session = open_session(content)
        held = self._session.get_modelmeta().custom_metadata_map
        self.manifest = _manifest(held)
        if list(features) != self.manifest.feature_names:
            raise FeatureMismatch(_difference(features, self.manifest.feature_names))
        self._prove(held)

    def predict(self, x: NDArray[Any]) -> Outputs:
        """Every output by name for `x` float32 `[n, *input_shape]`; a row that it does not answer is NaN in all.

        An answer is finite, and between 0 and 1 where the output is named a probability.

        Raises
        ------
        ModelError
            When the model fails.
        """
        return blank(run_session(self._session, x), len(x))

    def _prove(self, held: Mapping[str, str]) -> None:
        try:
            x = unpack(held[GOLDEN_KEY])
            golden = {name: unpack(held[f"{GOLDEN_KEY}.{name}"]) for name in self.manifest.outputs}
        except (KeyError, ValueError, EOFError) as exc:
            raise ModelRejected(f"its golden vectors are missing or damaged: {exc}", "golden") from exc
        if list(x.shape[1:]) != self.manifest.input_shape or not len(x):
            shape = self.manifest.input_shape
            raise ModelRejected(f"golden inputs are {x.shape}, the manifest says {shape} a row", "golden")
        try:
            answers = self.predict(x)
        except ModelError as exc:
            raise ModelRejected(f"it cannot answer its golden vectors: {exc}", "golden") from exc
        for name, values in answers.items():
            if np.isnan(values).any():
                raise ModelRejected(f"it cannot answer its golden vectors: output {name!r} is no number", "golden")
        for name, expected in golden.items():
            if name not in answers or answers[name].shape != expected.shape:
                raise ModelRejected(f"it has no output {name!r} of shape {expected.shape}", "golden")
            if not np.allclose(answers[name], expected, RELATIVE, ABSOLUTE):
                raise ModelRejected(f"output {name!r} differs from its golden vectors", "golden")


def _manifest(held: Mapping[str, str]) -> Manifest:
    if MANIFEST_KEY not in held:
        raise ModelRejected("it has no manifest: it was not written by `dwcp train`", "format")
    try:
        return msgspec.json.decode(held[MANIFEST_KEY], type=Manifest)
    except msgspec.DecodeError as exc:
        raise ModelRejected(f"its manifest does not decode: {exc}", "format") from exc


def _difference(ours: Sequence[str], theirs: Sequence[str]) -> str:
    if len(ours) != len(theirs):
        return f"it takes {len(theirs)} features, {len(ours)} are computed"
    at = next(k for k, (a, b) in enumerate(zip(ours, theirs, strict=True)) if a != b)
    return f"its feature {at} is {theirs[at]!r}, ours is {ours[at]!r}"
