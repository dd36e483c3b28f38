"""Scenarios of the demo: each a story that the whole product plays on one machine, and that must come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NamedTuple

from streams.demo.stage import NotShown, Stage, open_stage
from streams.demo.timeline import described

LIMIT_S: Final = 300
"""What a scenario takes at most once the worker is ready, unless more is allowed it."""


class Asked(NamedTuple):
    """What a user asked of a scenario.

    Parameters
    ----------
    seed
        Of the fleet.
    plot
        File to draw to.
    speed
        Event time per second, in s; None: the scenario's own.
    nodes
        Hosts, where a scenario is about hosts; None: its own number.
    """

    seed: int
    plot: Path | None
    speed: int | None = None
    nodes: int | None = None


class Scenario(NamedTuple):
    """One scenario: module with its `play`, partitions of its topics, settings, and what it shows."""

    module: str
    partitions: int
    settings: Mapping[str, str]
    shows: str


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "drift": Scenario("streams.demo.drift", 4, {}, "drift, alert, retraining, promotion, recovery"),
    "poison": Scenario("streams.demo.poison", 4, {}, "bad candidates refused, a bad champion taken back"),
    "growth": Scenario("streams.demo.growth", 2, {}, "rollups, forecasts, URGENT weeks before a disk is full"),
    "tuning": Scenario("streams.demo.tuning", 1, {}, "recommended, rolled out, better; a bad one taken back"),
}


def run(name: str, asked: Asked, bootstrap: str | None, limit_s: float) -> dict[str, Any]:
    """Play a scenario; its summary. What it did not show, `not_shown` says; it is empty when all went as it should."""
    found = SCENARIOS[name]
    with open_stage(bootstrap, limit_s, found.partitions, found.settings) as stage:
        play: Callable[[Stage, Asked], dict[str, Any]] = import_module(found.module).play
        try:
            summary = play(stage, asked)
        except NotShown as exc:  # its course is worth reading all the same
            summary = {"lost": None, "not_shown": str(exc), "timeline": described(stage.timeline)}
        summary |= {"scenario": name, "seed": asked.seed, "logs": str(stage.work)}
        summary["seconds"] = round(stage.timeline.wall_s, 1)
    return summary
