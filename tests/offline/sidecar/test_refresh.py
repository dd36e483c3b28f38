"""Capacity from the rollups that were kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

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
    (plan,) = found.plans
    assert plan.needs["cpu"].exceeds_at is not None
    assert [one.resource for one in found.alerts] == ["cpu"]


def test_each_node_is_a_scope_if_asked(archive: Archive) -> None:
    one = rollups(40 * 24, growth=0.9)
    other = [replace(r, id=f"o{r.id}", node_id="n2") for r in rollups(40 * 24, growth=0.0)]
    keep(archive, one + other)
    found = refresh(archive, None, FIRST_MS, each_node=True)
    assert found is not None
    assert {plan.scope for plan in found.plans} == {"all", "n1", "n2"}
    assert {a.scope for a in found.alerts if a.urgency == "URGENT"} == {"n1"}  # the mean of both hides it


def test_what_another_release_wrote_is_no_earlier_forecast(tmp_path: Path) -> None:
    path = tmp_path / "capacity.json"
    path.write_bytes(b'{"forecasts": [], "plan": {}, "alerts": []}')
    assert read_refreshed(path) is None


@pytest.mark.parametrize("hours", [0, 12, 27 * 24])
def test_too_little_is_waited_out(archive: Archive, hours: int) -> None:
    if hours:
        keep(archive, rollups(hours, 0.0))
    assert refresh(archive, None, FIRST_MS) is None
