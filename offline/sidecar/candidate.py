"""From what a training wrote to a candidate that workers can be asked to load."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import numpy as np

from offline.model.check import Artifact, load_directory
from schemas.error import GateFailed
from schemas.model import ModelAnnouncement
from streams.model import stage as stages
from streams.model.stage import By, Catalogue
from streams.model.store import ModelStore

SLOWEST_MS: Final = 2.0
"""99th percentile of one answer, in CPU time; a champion that is slower would be rolled back."""

_TIMED: Final = 300


def announce_trained(
    catalogue: Catalogue, store: ModelStore, directory: Path, by: By, slowest_ms: float = SLOWEST_MS
) -> ModelAnnouncement:
    """Store what a training wrote, and announce it as a candidate; the catalogue learns it at once.

    Raises
    ------
    GateFailed
        When it missed a gate, or is too slow here.
    ModelRejected, FeatureMismatch
        When no worker would load it.
    ConfigError
        When the version is known.
    InfraError
        When the store cannot be written.
    """
    artifact = load_directory(directory)
    manifest = artifact.model.manifest
    for gate in manifest.gates:
        if not gate.passed:
            raise GateFailed(gate.gate, gate.value, gate.limit)
    if (p99_ms := _p99_ms(artifact)) > slowest_ms:
        raise GateFailed("p99 of one answer, ms", p99_ms, slowest_ms)
    stored = store.put(artifact.content)
    said = stages.announce(catalogue, manifest, stored, by)
    catalogue.take(said)
    return said


def _p99_ms(artifact: Artifact) -> float:
    """What an answer takes of a processor: beside workers, most of the time is waiting for one."""
    taken = []
    for k in range(_TIMED):
        row = artifact.golden[k % len(artifact.golden)][None]
        began = time.thread_time()
        artifact.model.predict(row)
        taken.append(time.thread_time() - began)
    return float(np.quantile(taken, 0.99) * 1e3)
