"""The report of a selector's training."""

from __future__ import annotations

from offline.backtest.selector_score import Quality, reliability
from offline.training.report import Report, make_figure
from offline.training.selector_train import Trained
from schemas.field import ALGORITHMS, LINK_TYPES


def make_report(trained: Trained, source: str) -> Report:
    """Gates, candidates beside baselines, and four figures.

    Parameters
    ----------
    trained
        What came of it.
    source
        Data and seed, in words.
    """
    report = Report(f"Selector {trained.manifest.model_version}")
    report.text(f"{source}. Trained on the first 70 % of {len(trained.data.x)} rows, chosen by regret on the "
                f"next 15 %, judged on the last 15 % ({len(trained.probability)} rows).")  # fmt: skip
    report.heading("Gates")
    report.gates(trained.gates)
    report.heading("Candidates and baselines on the test part")
    rows = [
        _row(one.test, one.roc_auc, one.validation_regret, one.single_p99_ms, one.batch_us)
        for one in trained.candidates
    ]
    rows += [_row(one) for one in trained.baselines]
    header = ("who", "accuracy", "regret", "regret p95", "log loss", "ECE", "ECE by chance", "ROC-AUC",
              "validation regret", "one row p99 ms", "us per row of 1000")  # fmt: skip
    report.table(header, rows)
    report.text(f"Served: {trained.winner.fitted.name}.")
    _confusion(report, trained)
    _calibration(report, trained)
    _by_link_type(report, trained)
    _course(report, trained)
    report.heading("Outliers in the data")
    report.text("Share of values beyond 1.5 interquartile ranges; reported, not removed.")
    report.table(("feature", "share"), list(trained.data.outliers.items()))
    return report


def _row(one: Quality, *more: float) -> tuple[object, ...]:
    known = (one.name, one.accuracy, one.regret, one.regret_p95, one.log_loss, one.ece, one.ece_noise, *more)
    padded = (*known, *([None] * (11 - len(known))))
    return tuple("" if value is None else value for value in padded)


def _confusion(report: Report, trained: Trained) -> None:
    figure = make_figure(width=4.5)
    axes = figure.axes[0]
    said, label = trained.probability > 0.5, trained.truth.label
    count = [[int(((label == k) & (said == j)).sum()) for j in (0, 1)] for k in (0, 1)]
    axes.imshow(count, cmap="Blues")
    for k in (0, 1):
        for j in (0, 1):
            axes.text(j, k, f"{count[k][j]:,}", ha="center", va="center")
    axes.set(
        xticks=[0, 1], yticks=[0, 1], xticklabels=ALGORITHMS, yticklabels=ALGORITHMS, xlabel="decided", ylabel="best"
    )
    report.figure("confusion", figure, "Decided against best")


def _calibration(report: Report, trained: Trained) -> None:
    figure = make_figure(width=4.5)
    axes = figure.axes[0]
    said, seen, _ = reliability(trained.probability, trained.truth.label)
    axes.plot([0, 1], [0, 1], color="0.7")
    axes.plot(said, seen, "o-")
    axes.set(xlabel="probability of AMST", ylabel="share where AMST was best")
    report.figure("calibration", figure, "Calibration")


def _by_link_type(report: Report, trained: Trained) -> None:
    figure = make_figure()
    axes = figure.axes[0]
    shown = [trained.winner.test, *trained.baselines]
    kinds = [kind for kind in LINK_TYPES if kind in trained.winner.test.link_types]
    width = 0.8 / len(shown)
    for k, one in enumerate(shown):
        places = [i + k * width for i in range(len(kinds))]
        axes.bar(places, [100 * one.link_types[kind].regret for kind in kinds], width, label=one.name)
    axes.set_xticks([i + 0.4 - width / 2 for i in range(len(kinds))], kinds)
    axes.set(ylabel="regret, %", yscale="symlog")
    axes.legend()
    report.figure("regret", figure, "Regret by link type")


def _course(report: Report, trained: Trained) -> None:
    shown = [one.fitted for one in trained.candidates if one.fitted.course]
    if not shown:
        return
    figure = make_figure(1, len(shown))
    for axes, one in zip(figure.axes, shown, strict=True):
        step, here, there = zip(*one.course, strict=True)
        axes.plot(step, here, label="training")
        axes.plot(step, there, label="validation")
        axes.set(title=one.name, xlabel="trees" if one.name == "boosting" else "epoch", ylabel="regret")
        axes.legend()
    report.figure("course", figure, "Regret while learning")
