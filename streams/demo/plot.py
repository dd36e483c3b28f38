"""Plots of scenarios; matplotlib is imported when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from schemas.capacity import THRESHOLDS, CapacityAlert, CapacityForecast
from schemas.error import ConfigError
from schemas.optimizer import OptimizerRollout
from streams.demo.course import Bucket
from streams.demo.timeline import Happened

MARKED: Final = {"drift": "black", "drift alert": "tab:red", "taken back": "tab:orange", "retraining": "tab:purple",
                 "training": "tab:purple", "promotion": "tab:green", "rejection": "dimgrey"}  # fmt: skip
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000


def check_plot(path: Path) -> None:
    """Raise now what would stop the drawing at the end.

    Raises
    ------
    ConfigError
        When matplotlib is missing, or the folder is.
    """
    _pyplot()
    if not path.parent.is_dir():
        raise ConfigError("--plot", str(path), "a file in a folder that is there")


def draw_accuracy(
    path: Path, course: Sequence[Bucket], happened: Sequence[Happened], drift_ms: int, back_ms: int
) -> None:
    """Accuracy over event time beside its bars, with what happened marked."""
    plt = _pyplot()
    fig, ax = plt.subplots(figsize=(11, 5.5))
    start_ms = course[0].event_ms
    x = [(one.event_ms - start_ms) / _MINUTE_MS for one in course]
    ax.plot(x, [100 * one.accuracy for one in course], lw=2.2, label="published decisions")
    for name, style in (("ceiling", ":"), ("heuristic", "--"), ("majority", "-.")):
        ax.plot(x, [100 * getattr(one, name) for one in course], style, lw=1.2, color="grey", label=name)
    ax.axvspan((drift_ms - start_ms) / _MINUTE_MS, (back_ms - start_ms) / _MINUTE_MS, color="tab:red", alpha=0.07)
    mark(ax, happened, start_ms)
    ax.set_xlabel("event time, minutes")
    ax.set_ylabel("decisions that were right, %")
    ax.legend(loc="lower left", ncols=4, frameon=False)
    _save(fig, path)


def draw_growth(
    path: Path, daily: Mapping[str, Sequence[tuple[int, float]]], told: Mapping[str, CapacityForecast],
    alerts: Sequence[CapacityAlert], exhausted: Mapping[str, int],
) -> None:  # fmt: skip
    """Each node's disk by the day, the forecast that URGENT came from, levels, alerts and exhaustion."""
    plt = _pyplot()
    fig, ax = plt.subplots(figsize=(11, 5.5))
    start_ms = min(at for course in daily.values() for at, _ in course)
    for node, course in sorted(daily.items()):
        grows = node in exhausted
        x, y = [(at - start_ms) / _DAY_MS for at, _ in course], [value for _, value in course]
        (drawn,) = ax.plot(
            x, y, lw=2.0 if grows else 1.0, color=None if grows else "lightgrey", label=node if grows else None
        )
        if not grows:
            continue
        color = drawn.get_color()
        if (one := told.get(node)) is not None:
            ahead = [(one.first_target_time + k * one.step_ms - start_ms) / _DAY_MS for k in range(len(one.predicted))]
            ax.plot(ahead, one.predicted, ":", lw=1.2, color=color, label=f"{node}, forecast of that day")
            ax.fill_between(ahead, one.lower, one.upper, color=color, alpha=0.12, lw=0)
        ax.axvline((exhausted[node] - start_ms) / _DAY_MS, color=color, ls="--", lw=1.0)
        said = [a for a in alerts if a.scope == node and a.resource == "storage" and a.reason == "urgency"]
        for alert in said:
            at = (alert.timestamp - start_ms) / _DAY_MS
            ax.plot([at], [alert.current], "o", color=color)
            ax.annotate(alert.urgency, (at, alert.current), xytext=(4, -12), textcoords="offset points", fontsize=8)
    for level, name in zip(THRESHOLDS["storage"], ("warning", "critical"), strict=True):
        ax.axhline(level, color="grey", lw=0.8, ls="-.")
        ax.text(0.0, level, f" {name}", va="bottom", fontsize=8, color="grey")
    ax.set_ylim(0, 105)
    ax.set_xlabel("event time, days")
    ax.set_ylabel("disk in use, % (others grey, exhaustion dashed)")
    ax.legend(loc="lower right", frameon=False)
    _save(fig, path)


def draw_tuning(
    path: Path, minutes: Mapping[str, Mapping[int, Sequence[tuple[float, float]]]],
    applied: Sequence[Mapping[str, Any]], rollouts: Sequence[OptimizerRollout],
) -> None:  # fmt: skip
    """Latency and throughput of the nodes with the newest values and of the others, with the rollouts' steps."""
    plt = _pyplot()
    fig, axes = plt.subplots(2, 1, figsize=(11, 7), sharex=True)
    start_ms = min(min(found) for found in minutes.values())
    times = sorted({at for found in minutes.values() for at in found})
    sides: dict[str, list[list[float]]] = {"with the new values": [[], []], "without": [[], []]}
    for at in times:
        treated: set[str] = set()
        for one in applied:
            if one["time_ms"] <= at:
                treated = set(one["treated"])
        for side, own in zip(sides.values(), (treated, minutes.keys() - treated), strict=True):
            found = [s for node in own for s in minutes[node].get(at, ())]
            for k in range(2):
                side[k].append(sum(s[k] for s in found) / len(found) if found else float("nan"))
    x = [(at - start_ms) / _MINUTE_MS for at in times]
    for k, (ax, unit) in enumerate(zip(axes, ("latency, ms", "throughput, requests/s"), strict=True)):
        for name, side in sides.items():
            ax.plot(x, side[k], lw=1.8, label=f"nodes {name}")
        ax.set_ylabel(unit)
        for rollout in rollouts:
            where = (rollout.timestamp - start_ms) / _MINUTE_MS
            color = "tab:red" if rollout.status == "rolled_back" else "grey"
            ax.axvline(where, color=color, lw=0.9, ls="--")
            said = f" {rollout.stage_pct} % {rollout.status.replace('_', ' ')}"
            ax.text(where, ax.get_ylim()[1], said, rotation=90, va="top", ha="right", fontsize=7, color=color)
    axes[0].legend(frameon=False, loc="center right")
    axes[1].set_xlabel("event time, minutes")
    _save(fig, path)


def mark(ax: Any, happened: Sequence[Happened], start_ms: float, unit_ms: float = _MINUTE_MS) -> None:
    """Lines where something happened; of a kind that comes often, the first only."""
    seen: set[str] = set()
    top = ax.get_ylim()[1]
    for one in happened:
        if one.what not in MARKED or one.event_ms is None or (one.what == "drift alert" and one.what in seen):
            continue
        seen.add(one.what)
        at = (one.event_ms - start_ms) / unit_ms
        ax.axvline(at, color=MARKED[one.what], lw=1.1)
        ax.text(at, top, f" {one.what}", rotation=90, va="top", ha="right", fontsize=8, color=MARKED[one.what])


def _save(fig: Any, path: Path) -> None:
    fig.tight_layout()
    try:
        fig.savefig(path, dpi=120)
    except (OSError, ValueError) as exc:
        raise ConfigError("--plot", str(path), f"a picture file that can be written ({exc})") from exc


def _pyplot() -> Any:
    try:
        import matplotlib as mpl

        mpl.use("Agg")
        from matplotlib import pyplot
    except ImportError as exc:
        raise ConfigError("--plot", str(exc), "usable with: pip install 'dwcp-streams[train]'") from exc
    return pyplot
