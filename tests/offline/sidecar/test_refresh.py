"""Capacity from the rollups that were kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline.sidecar.archive import HOUR_MS, Archive
from offline.sidecar.refresh import main, read_refreshed, refresh
from schemas.rollup import MetricRollup, SystemRollup
from schemas.topic import SYSTEM_ROLLUP
from tests.online_models.stream import START_MS

FIRST_MS = START_MS // HOUR_MS * HOUR_MS


def rollups(hours: int, growth: float) -> list[SystemRollup]:
    """CPU of one node with a daily cycle, growing by so many points a day."""
    found = []
    for hour in range(hours):
        cpu = 50.0 + growth * hour / 24 + 5.0 * np.sin(2 * np.pi * hour / 24)
        start = FIRST_MS + hour * HOUR_MS
        one = MetricRollup(float(cpu), float(cpu) + 2.0, float(cpu) + 1.0)
        metrics = {"cpu_usage": one}
        found.append(
            SystemRollup(f"r{hour}", start + HOUR_MS, "n1", "hour", start, start + HOUR_MS, 720, metrics)
        )  # fmt: skip
    return found


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "topics")


def keep(archive: Archive, records: list[SystemRollup], number: int = 1) -> None:
    archive.add(SYSTEM_ROLLUP, records, [one.id for one in records])
    archive.write(number)


def test_what_grows_is_planned_for(archive: Archive, tmp_path: Path) -> None:
    keep(archive, rollups(60 * 24, growth=0.5))
    before, out = tmp_path / "before.json", tmp_path / "out.json"
    main(str(archive.root), str(before), str(out))
    found = read_refreshed(out)
    assert found is not None
    (forecast,) = found.forecasts
    assert forecast.predicted[-1] == pytest.approx(50 + 0.5 * 90, abs=10)
    assert found.plan.needs["cpu"].exceeds_at is not None
    assert [one.resource for one in found.alerts] == ["cpu"]


@pytest.mark.parametrize("hours", [0, 12])
def test_too_little_is_waited_out(archive: Archive, hours: int) -> None:
    if hours:
        keep(archive, rollups(hours, 0.0))
    assert refresh(archive, None, FIRST_MS) is None
