"""One bank for all simulator tests: generated payloads, measured once per session."""

from __future__ import annotations

from pathlib import Path

import pytest

from offline.simulator.bank import Bank, measure
from offline.simulator.payload import generated


@pytest.fixture(scope="session")
def bank() -> Bank:
    return measure(generated(7, 64 * 1024), "generated", repeats=1)


@pytest.fixture(scope="session")
def bank_path(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bank") / "bank.json"
    bank.save(path)
    return path
