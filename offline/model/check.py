"""What is checked of an artifact before anybody is asked to load it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np

from online_models.onnx_model import GOLDEN_KEY, MANIFEST_KEY, OnnxModel, open_session, unpack
from schemas.error import DwcpError, ModelRejected
from schemas.model import Manifest, ModelAnnouncement
from streams.model.signature import check_signature
from streams.model.store import ModelStore

MODEL_FILE: Final = "model.onnx"
METADATA_FILE: Final = "model_metadata.json"
"""As `dwcp train` names them; its module is not imported, because it needs the train extra."""

_TIMED: Final = 300


class Artifact(NamedTuple):
    """An artifact that loads and gives its golden answers."""

    content: bytes
    model: OnnxModel
    golden: np.ndarray[Any, Any]

    def p99_ms(self) -> float:
        """99th percentile of the time that one answer takes here, in ms."""
        taken = []
        for k in range(_TIMED):
            row = self.golden[k % len(self.golden)][None]
            began = time.perf_counter()
            self.model.predict(row)
            taken.append(time.perf_counter() - began)
        return float(np.quantile(taken, 0.99) * 1e3)


class Check(NamedTuple):
    """One thing that was looked at, whether it is as it should be, and what was found."""

    check: str
    passed: bool
    found: str


def load(content: bytes) -> Artifact:
    """An artifact with its own manifest, proven by its golden vectors.

    Raises
    ------
    ModelRejected
        When no worker would load it.
    """
    held = open_session(content).get_modelmeta().custom_metadata_map
    try:
        manifest = msgspec.json.decode(held[MANIFEST_KEY], type=Manifest)
        golden = unpack(held[GOLDEN_KEY])
    except (KeyError, ValueError, EOFError) as exc:
        raise ModelRejected(f"its manifest or golden vectors are missing or damaged ({exc}): train it again") from exc
    return Artifact(content, OnnxModel(content, manifest.feature_names), golden)


def load_directory(directory: Path) -> Artifact:
    """What `dwcp train` wrote.

    Raises
    ------
    ModelRejected
        When a file is missing, no worker would load it, or the metadata are of another model.
    """
    try:
        content = (directory / MODEL_FILE).read_bytes()
        said = msgspec.json.decode((directory / METADATA_FILE).read_bytes(), type=Manifest)
    except OSError as exc:
        raise ModelRejected(f"{directory} is not what `dwcp train` writes: {exc}") from exc
    except msgspec.DecodeError as exc:
        raise ModelRejected(f"{directory / METADATA_FILE} is no manifest: {exc}") from exc
    artifact = load(content)
    if artifact.model.manifest != said:
        raise ModelRejected(f"{METADATA_FILE} in {directory} is of another model than {MODEL_FILE}: train it again")
    return artifact


def checks(announcement: ModelAnnouncement, store: ModelStore, key: str) -> Iterator[Check]:
    """Everything that a worker looks at, and how fast it answers; ends at the first that makes others impossible."""
    yield _try("signature", lambda: check_signature(announcement, key), "checked" if key else "no key is set")
    found: list[Any] = []
    yield _try("artifact", lambda: found.append(store.fetch(announcement)), announcement.artifact_sha256)
    if not found:
        return
    yield _try("golden", lambda: found.append(load(found[0])), "loads, and gives its golden answers")
    if len(found) < 2:
        return
    artifact: Artifact = found[1]
    yield _try("manifest", lambda: _same(artifact.model.manifest, announcement), "as announced")
    failed = ", ".join(gate.gate for gate in announcement.gates if not gate.passed)
    yield Check("gates", not failed, f"failed: {failed}" if failed else f"{len(announcement.gates)} passed")
    p99 = artifact.p99_ms()
    yield Check("latency", True, f"p99 {p99:.3f} ms for one row on this machine")


def _same(manifest: Manifest, announcement: ModelAnnouncement) -> None:
    for name in ("model_name", "model_version", "feature_schema", "feature_schema_sha256", "training_data_sha256"):
        said, held = getattr(announcement, name), getattr(manifest, name)
        if said != held:
            raise ModelRejected(f"{name} was announced as {said!r}, the artifact says {held!r}")


def _try(name: str, what: Callable[[], object], found: str) -> Check:
    try:
        what()
    except DwcpError as exc:
        return Check(name, False, str(exc))
    return Check(name, True, found)
