"""A forecast as a picture: history, forecast, band, levels, crossing, and the probability by date."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from offline.capacity.path import LIKELY
from offline.capacity.plan import Case
from schemas.capacity import CapacityPlan
from schemas.error import ConfigError

_SHOWN_HORIZONS: Final = 3
_WARNING: Final = "#c98a00"
_CRITICAL: Final = "#b3261e"
_HISTORY: Final = "#4a5560"
_FORECAST: Final = "#1a5fb4"


def draw(cases: Sequence[Case], plan: CapacityPlan, path: Path) -> None:
    """Write a picture with two panels for each resource.

    Raises
    ------
    ConfigError
        When matplotlib is missing, or the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise ConfigError("--plot", str(path), "pip install 'dwcp-streams[capacity]' first") from exc
    figure = Figure(figsize=(11, 5.2 * len(cases)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2 * len(cases), 1, height_ratios=[3.2, 1] * len(cases), squeeze=False)[:, 0]
    for k, case in enumerate(cases):
        panels[2 * k + 1].sharex(panels[2 * k])
        _draw_values(panels[2 * k], case, plan)
        _draw_probability(panels[2 * k + 1], case)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as exc:
        raise ConfigError("--plot", str(path), f"a file that can be written, .png, .svg or .pdf ({exc})") from exc


def _draw_values(axes: Any, case: Case, plan: CapacityPlan) -> None:
    record, history, need = case.forecast, case.outlook.history, plan.needs[case.name]
    unit = "%" if record.unit == "percent" else record.unit
    shown = min(len(history), _SHOWN_HORIZONS * case.outlook.steps)
    past = history.end_ms + history.step_ms * np.arange(-shown, 0)
    ahead = _ahead(case)
    fine = history.per_block > 1
    axes.plot(_dates(past), history.value[-shown:], color=_HISTORY, lw=0.7, alpha=0.45 if fine else 1, label="history")
    axes.fill_between(
        _dates(ahead), record.lower, record.upper, color=_FORECAST, alpha=0.18, lw=0, label="95 % interval"
    )
    axes.plot(_dates(ahead), record.predicted, color=_FORECAST, lw=0.8, alpha=0.6 if fine else 1, label="forecast")
    if fine:
        step = history.per_block
        days = history.value[-(shown // step) * step :].reshape(-1, step)
        known = np.isfinite(days).sum(axis=1)
        level = np.divide(np.nansum(days, axis=1), known, out=np.full(len(days), np.nan), where=known > 0)
        middle = history.step_ms * step // 2
        axes.plot(_dates(past[-days.size :: step] + middle), level, color=_HISTORY, lw=1.8, label="mean of a day")
        axes.plot(_dates(ahead[::step] + middle), case.outlook.predicted.mean(axis=1), color=_FORECAST, lw=1.8)
    axes.axvline(_dates(np.array([history.end_ms]))[0], color="0.5", lw=0.8, ls=":")
    for level, color, name in (
        (record.threshold, _WARNING, "warning"),
        (record.critical_threshold, _CRITICAL, "critical"),
    ):
        axes.axhline(level, color=color, ls="--", lw=1, label=f"{name} {level:g} {unit}")
    title = f"{record.scope}: {case.name}, {need.urgency}"
    if need.exceeds_at is not None:
        when = datetime.fromtimestamp(need.exceeds_at / 1000, UTC)
        axes.axvline(when, color=_CRITICAL, lw=1)
        axes.plot([when], [record.critical_threshold], "o", color=_CRITICAL)
        title += f"; critical is reached on {when:%Y-%m-%d}"
    else:
        title += f"; critical within the horizon with {100 * need.exceeds_probability:.0f} %"
    axes.set_title(title, loc="left", pad=22)
    axes.set_ylabel(unit)
    values = [*history.value[-shown:], *record.predicted, record.threshold]
    low, high = float(np.nanmin(values)), float(np.nanmax([*values, *record.upper]))
    reach = max(record.critical_threshold, high) if high > 0.6 * record.critical_threshold else high
    room = 0.06 * (reach - low or 1.0)
    axes.set_ylim(low - room, reach + room)
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 0.99), borderaxespad=0.2, ncols=6, fontsize=8, frameon=False)
    axes.tick_params(labelbottom=False)
    axes.grid(alpha=0.25)
    axes.margins(x=0.01)


def _draw_probability(axes: Any, case: Case) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    record = case.forecast
    dates = _dates(_ahead(case))
    axes.plot(dates, 100 * np.array(record.threshold_probability), color=_WARNING, lw=1.2, label="warning")
    axes.plot(dates, 100 * np.array(record.critical_probability), color=_CRITICAL, lw=1.2, label="critical")
    axes.plot(dates, 100 * case.lasting, color=_CRITICAL, lw=1.2, ls="--", label="critical, bursts aside")
    axes.axhline(100 * LIKELY, color="0.6", lw=0.8, ls=":", label=f"counts as reached: {100 * LIKELY:g} %")
    axes.set_ylim(-3, 103)
    axes.set_ylabel("reached by\nthen, %")
    axes.legend(loc="upper left", ncols=4, fontsize=8, frameon=False)
    locator = AutoDateLocator(maxticks=9)
    axes.xaxis.set(major_locator=locator, major_formatter=ConciseDateFormatter(locator))
    axes.grid(alpha=0.25)


def _ahead(case: Case) -> NDArray[np.int64]:
    return case.forecast.first_target_time + case.forecast.step_ms * np.arange(case.outlook.steps)


def _dates(times_ms: NDArray[np.int64]) -> NDArray[np.datetime64]:
    return times_ms.astype("M8[ms]")
