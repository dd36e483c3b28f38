"""The report of a training: tables beside the bars and the ceiling, and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from offline.training.bandwidth_input import Rows
from offline.training.bandwidth_model import Fitted
from offline.training.bandwidth_score import PUBLISHED, Qualities, mae_by, mean_ratio
from offline.training.bandwidth_trace import Trace
from offline.training.report import Report, make_figure
from schemas.field import LINK_TYPES
from schemas.model import Gate
from schemas.network import TARGETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNITS: Final = ("Mbps", "ms", "ratio", "ms")
_HOUR_MS: Final = 3_600_000

Ceiling = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Best reachable scores by link type and target, as `dwcp simulate --json` says them."""

F64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training found.

    Parameters
    ----------
    champion
        Name of the forecaster that was chosen on validation.
    fitted
        Every forecaster that was trained.
    trace, test
        The samples, and the rows of the test part.
    forecasts
        Of the test part by forecaster, `[len(test), 4]`.
    validation, quality
        Qualities on the validation and on the test part.
    gates
        Of the champion.
    horizon_ms
        How far ahead.
    facts
        What else to say: name and value.
    ceiling
        Where the generator is known.
    """

    champion: str
    fitted: Sequence[Fitted]
    trace: Trace
    test: Rows
    forecasts: Mapping[str, F64]
    validation: Qualities
    quality: Qualities
    gates: Sequence[Gate]
    horizon_ms: int
    facts: Mapping[str, Any]
    ceiling: Ceiling | None = None


def make_report(outcome: Outcome) -> Report:
    """The whole report."""
    report = Report(f"Bandwidth forecaster: {outcome.champion}")
    report.text(
        f"Links {outcome.horizon_ms / 60_000:g} minutes ahead. The model was chosen on the validation part; the test "
        "part, later than both others by a horizon, was asked once. `published` is the online forecaster "
        "of the workers on the same rows, which has learned from everything before each of them."
    )
    report.table(("what", "value"), list(outcome.facts.items()))
    _add_qualities(report, outcome)
    _add_types(report, outcome)
    report.heading("Gates")
    report.gates(outcome.gates)
    _add_missed(report, outcome)
    report.heading("Figures")
    value, actual = outcome.forecasts[outcome.champion], outcome.trace.target[outcome.test]
    report.figure(
        "forecast", _plot_forecast(outcome, value, actual), "one link, forecast against actual at target time"
    )
    report.figure("residuals", _plot_residuals(value, actual), "actual less forecast")
    report.figure("skill_by_hour", _plot_skill(outcome, actual), "skill against persistence by hour of the target")
    if any(fitted.validation_loss for fitted in outcome.fitted):
        report.figure("learning", _plot_learning(outcome.fitted), "losses by epoch")
    return report


def _add_qualities(report: Report, outcome: Outcome) -> None:
    report.heading("Forecasters")
    report.text(
        "Ratios are MAE over the better of persistence and moving average; below 1 is better than both. "
        "The mean is geometric over the targets."
    )
    header = ("forecaster", "validation mean", "test mean", *(f"{target} ratio" for target in TARGETS))
    rows = []
    for name, found in outcome.quality.items():
        shown = f"**{name}**" if name == outcome.champion else name
        ratios = ["-" if (ratio := found[target].ratio) is None else round(ratio, 4) for target in TARGETS]
        rows.append((shown, mean_ratio(outcome.validation[name]), mean_ratio(found), *ratios))
    report.table(header, rows)
    header = ("forecaster", *(f"{target} {what}" for target in TARGETS for what in ("MAE", "MAPE %", "R2")))
    report.table(header, [(name, *_figures(found)) for name, found in outcome.quality.items()])
    online, own = mean_ratio(outcome.quality[PUBLISHED]), mean_ratio(outcome.quality[outcome.champion])
    better, by = ("better", 1 - own / online) if own < online else ("worse", own / online - 1)
    report.text(f"On the test part {outcome.champion} is {100 * by:.2f} % {better} than the online forecaster.")


def _add_missed(report: Report, outcome: Outcome) -> None:
    """By how much gates were missed, and what could be reached at best."""
    missed = [one for one in outcome.gates if not one.passed]
    for one in missed:
        report.text(f"`{one.gate}` is missed by {abs(one.value - one.limit):.4g}.")
    if not missed:
        return
    if outcome.ceiling is None:
        report.text(
            "What could be reached at best is not known for this data: `--ceiling` says it of simulated fleets."
        )
        return
    trace, test = outcome.trace, outcome.test
    own = mae_by(trace.link_type[test], len(LINK_TYPES), outcome.forecasts[outcome.champion], trace.target[test])
    rows = []
    for m, target in enumerate(TARGETS):
        kinds = [
            (k, outcome.ceiling[name][target]["mae"]) for k, name in enumerate(LINK_TYPES) if name in outcome.ceiling
        ]
        shares = [best / own[k, m] for k, best in kinds if own[k, m] > 0]
        if shares:
            rows.append((target, 100.0 * float(np.mean(shares))))
    report.text("With the generator and each link's true state known, errors could be this share of the champion's:")
    report.table(("target", "least MAE, % of the champion's, mean over types"), rows)


def _figures(found: Mapping[str, Any]) -> list[object]:
    cells: list[object] = []
    for target in TARGETS:
        one = found[target]
        cells += [one.mae, "-" if one.mape is None else 100 * one.mape, "-" if one.r2 is None else one.r2]
    return cells


def _add_types(report: Report, outcome: Outcome) -> None:
    report.heading("By type of link")
    trace, test = outcome.trace, outcome.test
    actual, kind = trace.target[test], trace.link_type[test]
    names = list(dict.fromkeys((outcome.champion, PUBLISHED, "persistence", "moving-average")))
    tables = {name: mae_by(kind, len(LINK_TYPES), outcome.forecasts[name], actual) for name in names}
    known = outcome.ceiling or {}
    if known:
        report.text(
            "`ceiling` is the least MAE that knowing the generator and the link's true state allows, over the whole "
            "run; a forecaster sees noisy samples of that state."
        )
    header = ("type", "target", *(f"{name} MAE" for name in names), "ceiling")
    rows = [
        (type_, f"{target} [{UNITS[m]}]", *(float(tables[name][k, m]) for name in names),
         known.get(type_, {}).get(target, {}).get("mae", "-"))
        for k, type_ in enumerate(LINK_TYPES) if (kind == k).any() for m, target in enumerate(TARGETS)
    ]  # fmt: skip
    report.table(header, rows)


def _plot_forecast(outcome: Outcome, value: F64, actual: F64) -> Figure:
    """The link with most rows, over the last day of the test part."""
    trace, test = outcome.trace, outcome.test
    link = trace.link[test]
    busiest = int(np.bincount(link).argmax())
    row = np.flatnonzero(link == busiest)
    hours = (trace.time_ms[test[row]] + outcome.horizon_ms) / _HOUR_MS
    late = hours > hours.max() - 24
    row, hours = row[late], hours[late] - hours.max()
    order = np.argsort(hours)
    figure = make_figure(4, 1, height=2.0)
    for m, axes in enumerate(figure.axes):
        axes.plot(hours[order], actual[row[order], m], color="0.6", lw=0.8, label="actual")
        axes.plot(hours[order], value[row[order], m], color="C0", lw=0.8, label=outcome.champion)
        axes.set_ylabel(f"{TARGETS[m]}\n[{UNITS[m]}]", fontsize=8)
    figure.axes[0].legend(fontsize=8)
    figure.axes[-1].set_xlabel("hours before the last sample")
    return figure


def _plot_residuals(value: F64, actual: F64) -> Figure:
    figure = make_figure(1, 4, width=12.0, height=3.0)
    for m, axes in enumerate(figure.axes):
        error = actual[:, m] - value[:, m]
        reach = float(np.quantile(np.abs(error), 0.99)) or 1.0
        axes.hist(np.clip(error, -reach, reach), 60, color="C0")
        axes.set_xlabel(f"{TARGETS[m]} [{UNITS[m]}]", fontsize=8)
    return figure


def _plot_skill(outcome: Outcome, actual: F64) -> Figure:
    hour = ((outcome.trace.time_ms[outcome.test] + outcome.horizon_ms) // _HOUR_MS) % 24
    bar = mae_by(hour, 24, outcome.forecasts["persistence"], actual)
    figure = make_figure(1, 4, width=12.0, height=3.0)
    for name in dict.fromkeys((outcome.champion, PUBLISHED)):
        with np.errstate(divide="ignore", invalid="ignore"):
            skill = 1.0 - mae_by(hour, 24, outcome.forecasts[name], actual) / bar
        for m, axes in enumerate(figure.axes):
            axes.plot(np.arange(24), skill[:, m], marker=".", label=name)
            axes.axhline(0.0, color="0.7", lw=0.8)
            axes.set_xlabel(f"hour (UTC), {TARGETS[m]}", fontsize=8)
    figure.axes[0].legend(fontsize=8)
    return figure


def _plot_learning(fitted: Sequence[Fitted]) -> Figure:
    figure = make_figure(1, 1, height=3.5)
    axes = figure.axes[0]
    for k, one in enumerate(one for one in fitted if one.validation_loss):
        epochs = np.arange(1, len(one.validation_loss) + 1)
        axes.plot(epochs, one.training_loss, color=f"C{k}", ls="--", label=f"{one.name}, training")
        axes.plot(epochs, one.validation_loss, color=f"C{k}", label=f"{one.name}, validation")
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean absolute difference [scales]")
    axes.legend(fontsize=8)
    return figure
