"""Faults run against the whole application, on the same two brokers as every end-to-end test."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.e2e.conftest import broker, start

__all__ = ["broker", "chance", "seed", "start"]

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _HERE in item.path.parents:
            item.add_marker(pytest.mark.fault)


@pytest.fixture
def seed() -> int:
    """A new one each time; `FAULT_SEED` repeats a run. Failures show it."""
    return int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(1 << 30))


@pytest.fixture
def chance(seed: int) -> random.Random:
    """What a test draws from."""
    print(f"FAULT_SEED={seed}")
    return random.Random(seed)
