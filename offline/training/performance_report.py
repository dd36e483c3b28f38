"""The report of a degradation predictor's training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.metrics import precision_recall_curve

from offline.training.report import Report, make_figure
from schemas.performance import HORIZON_STEPS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from offline.training.performance_train import Outcome


def make_report(outcome: Outcome, objective_ms: float) -> Report:
    """Tables of every method on the test part, gates, drivers and plots."""
    report = Report("Degradation predictor")
    report.text(
        f"Whether mean latency exceeds {objective_ms:g} ms within the next {HORIZON_STEPS} samples, and what it is at "
        "their end. What is judged lies later than what was learned from; methods were chosen on the validation part: "
        f"**{outcome.chosen_breach}** for breaches, **{outcome.chosen_latency}** for latency, each the cheapest that "
        "none beats by 1 % in 90 % of resamples by blocks. `online` is what workers run when "
        "no trained one is announced."
    )
    report.table(("", ""), list(outcome.facts.items()))
    report.heading("Gates")
    report.gates(outcome.gates)
    report.heading("Breaches")
    base = next(iter(outcome.breach.values()))
    report.text(f"Base rate {base.base_rate:.4f}, which is a guess's PR-AUC; its Brier score is {base.brier_base:.4f}.")
    rows = [(name, b.pr_auc, b.roc_auc, b.brier, b.ece) for name, b in outcome.breach.items()]
    report.table(("method", "PR-AUC", "ROC-AUC", "Brier", "ECE"), rows)
    report.heading("Latency at the end of the horizon")
    errors = [(name, v.mae, v.r2, v.mape, v.within_5_percent) for name, v in outcome.latency.items()]
    report.table(("method", "MAE, ms", "R2", "MAPE", "share within 5 %"), errors)
    report.heading("Drivers")
    report.text("How much log loss on validation rises when one input is shuffled.")
    report.table(("input", "rise"), list(outcome.importance.items()))
    report.figure("breaches", _figure(outcome), "Precision and recall, and calibration")
    return report


def _figure(outcome: Outcome) -> Figure:
    figure = make_figure(columns=2)
    curve, gap = figure.axes
    for name, probability in outcome.probability.items():
        if 0 < outcome.observed.sum() < len(outcome.observed):
            precision, recall, _ = precision_recall_curve(outcome.observed, probability)
            curve.plot(recall, precision, label=name, linewidth=1)
        bins = np.array_split(np.argsort(probability, kind="stable"), 10)
        said = [probability[b].mean() for b in bins if len(b)]
        gap.plot(said, [outcome.observed[b].mean() for b in bins if len(b)], marker=".", linewidth=1, label=name)
    gap.plot((0, 1), (0, 1), color="grey", linewidth=0.5)
    curve.set(xlabel="recall", ylabel="precision", title="Breaches found")
    gap.set(xlabel="probability said", ylabel="share seen", title="Calibration")
    gap.legend(fontsize="small")
    return figure
