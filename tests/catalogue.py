"""Versions of a model at the stages that a test wants them at."""

from __future__ import annotations

from typing import Any

from streams.model import stage as stages
from streams.model.stage import By, Catalogue
from streams.model.store import Stored
from tests.online_models.test_onnx_model import manifest


def catalogue(model: str, *versions: tuple[str, str], **said: Any) -> Catalogue:
    """Versions of a model, each raised to its stage, their manifests saying that."""
    found = Catalogue()
    for number, (version, stage) in enumerate(versions):
        made = manifest(model_name=model, model_version=version, **said)
        found.take(stages.announce(found, made, Stored(f"{number:064x}", 1), By("t", 1, "new")))
        for _ in range(("candidate", "shadow", "challenger", "champion").index(stage)):
            for one in stages.promote(found, model, version, None, By("t", 2, "up")):
                found.take(one)
    return found


def stage_of(model: str, known: Catalogue, version: str) -> str:
    """Where a version stands, `!` after it where it is held."""
    one = known.get(model, version)
    assert one is not None
    return one.stage + "!" * one.held
