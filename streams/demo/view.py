"""What the demo shows while it runs: one screen on a terminal, one line a few seconds elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from schemas.topic import IN_USE, Topic
from streams.demo.audit import Audit


def _number(value: float | None, digits: int = 1, unit: str = "") -> str:
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


class Rates:
    """Events per second by topic since the last look."""

    def __init__(self) -> None:
        self._last: dict[Topic, int] = {}
        self._at = 0.0

    def look(self, events: Mapping[Topic, int], now: float) -> dict[Topic, float]:
        """Rates over the time since the previous call."""
        elapsed = max(now - self._at, 1e-9) if self._at else float("inf")
        rates = {name: (count - self._last.get(name, 0)) / elapsed for name, count in events.items()}
        self._last, self._at = dict(events), now
        return rates


def screen(audit: Audit, rates: Mapping[Topic, float], addresses: str, lost: int) -> Group:
    """The whole screen, from the audit's present account."""
    return Group(
        Panel(Text(addresses), title="dwcp demo", title_align="left"),
        _topics(audit, rates),
        _quality(audit, lost),
        _latest(audit),
    )


def _topics(audit: Audit, rates: Mapping[Topic, float]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("topic")
    table.add_column("records", justify="right")
    table.add_column("per second", justify="right")
    for topic in IN_USE:
        table.add_row(topic.name, f"{audit.events[topic]:,}", _number(rates.get(topic, 0.0), 0))
    return table


def _quality(audit: Audit, lost: int) -> Table:
    selector, bandwidth, latency = audit.selector.summary(), audit.bandwidth.summary(), audit.latency_ms()
    table = Table.grid(padding=(0, 2))
    table.add_row(
        "\nselector",
        f"\naccuracy {_percent(selector['accuracy'])} (majority {_percent(selector['majority'])}, "
        f"heuristic {_percent(selector['heuristic'])}), regret {_percent(selector['regret'])}, "
        f"{selector['scored']:,} scored",
    )
    table.add_row(
        "bandwidth",
        f"15 min ahead: MAE {_number(bandwidth['mae'])} Mbps (persistence {_number(bandwidth['mae_persistence'])}, "
        f"moving average {_number(bandwidth['mae_moving_average'])}), {bandwidth['scored']:,} scored",
    )
    table.add_row(
        "latency",
        f"input due to answer seen: p50 {_number(latency['p50'], 0, ' ms')}, p99 {_number(latency['p99'], 0, ' ms')}",
    )
    reasons = ", ".join(f"{reason} {n}" for reason, n in audit.dead_letters.most_common()) or "none"
    table.add_row("rejected", f"dead letters: {reasons}; late: {audit.late}")
    table.add_row("in flight", f"{lost:,} inputs without their outputs yet; {audit.repeats:,} repeats")
    return table


def _latest(audit: Audit) -> Table:
    table = Table.grid(padding=(0, 2))
    for p in list(audit.selector.latest)[-2:]:
        note = f"{p.model_name}{' (fallback)' if p.fallback else ''}"
        table.add_row("decision", f"{p.node_id}:{p.peer_id}  {p.algorithm}  confidence {p.confidence:.2f}  {note}")
    for f in audit.latest_forecasts()[-2:]:
        table.add_row(
            "forecast",
            f"{f.node_id}:{f.peer_id}  {f.predicted_bandwidth_mbps:,.0f} Mbps  {f.predicted_latency_ms:.1f} ms  "
            f"confidence {f.confidence:.2f}  {f.amst_streams} streams ({f.amst_action})",
        )
    for a in audit.anomalies[-4:]:
        table.add_row("anomaly", f"{a.node_id}  {a.anomaly_type}  {a.severity}  score {a.anomaly_score:.3f}")
    for d in audit.drift_alerts[-3:]:
        table.add_row("drift", f"{d.model}  {d.feature}  {d.statistic}  {d.value:.3g}")
    return table


def line(summary: dict[str, Any]) -> str:
    """One line of progress, for a log."""
    selector, bandwidth = summary["selector"], summary["bandwidth"]
    return (
        f"in {summary['events_in']:,}  {summary['events_per_second']:,.0f}/s  "
        f"p99 {_number(summary['latency_ms']['p99'], 0, ' ms')}  "
        f"selector {_percent(selector['accuracy'])} (majority {_percent(selector['majority'])}, "
        f"heuristic {_percent(selector['heuristic'])})  "
        f"bandwidth {_number(bandwidth['mae'])} (persistence {_number(bandwidth['mae_persistence'])}) Mbps  "
        f"anomalies {summary['anomalies']}  drift {summary['drift_alerts']}  dead letters {summary['dead_letters']}"
    )


def closing(summary: dict[str, Any]) -> str:
    """The account of a finished run."""
    selector, bandwidth, latency = summary["selector"], summary["bandwidth"], summary["latency_ms"]
    reasons = ", ".join(f"{n} {reason}" for reason, n in summary["dead_letters_by_reason"].items()) or "none"
    types = ", ".join(f"{n} {kind}" for kind, n in summary["anomalies_by_type"].items()) or "none"
    rows = {
        "in": f"{summary['events_in']:,} records, {summary['events_per_second']:,.0f}/s",
        "out": f"{sum(summary['events_out'].values()):,} records on {len(summary['events_out'])} topics",
        "latency": f"p50 {_number(latency['p50'], 0, ' ms')}, p99 {_number(latency['p99'], 0, ' ms')}",
        "selector": f"accuracy {_percent(selector['accuracy'])}; majority {_percent(selector['majority'])}, "
        f"heuristic {_percent(selector['heuristic'])}, best reachable {_percent(selector.get('ceiling'))}; "
        f"regret {_percent(selector['regret'])}",
        "bandwidth": f"MAE {_number(bandwidth['mae'])} Mbps; persistence {_number(bandwidth['mae_persistence'])}, "
        f"moving average {_number(bandwidth['mae_moving_average'])}; {bandwidth['scored']:,} scored",
        "anomalies": types,
        "faults": "{found} of {injected} injected on nodes found, {typed} with the right type; "
        "{outside} announcements outside any fault".format(**summary["faults"]),
        "drift": f"{summary['drift_alerts']} alerts",
        "rejected": f"{reasons}; {summary['late']} late",
        "lost": f"{summary['lost']} of {summary['events_in']:,}; {summary['repeats']} repeats",
        "logs": summary["logs"],
    }
    return "\n".join(f"{name:<10} {text}" for name, text in rows.items())


def told(summary: dict[str, Any]) -> str:
    """A scenario's summary for people: what it counted, tables as rows; the time line was said as it went."""
    rows: list[str] = []
    for name, value in summary.items():
        if name == "timeline" or value in ("", None):
            continue
        if isinstance(value, dict):
            rows += [f"{name}.{inner:<{max(20 - len(name) - 1, 1)}} {_figures(one)}" for inner, one in value.items()]
        else:
            rows.append(f"{name:<20} {_figures(value)}")
    return "\n".join(rows)


def _figures(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_figures(one)}" for name, one in value.items())
    if isinstance(value, list):
        return "; ".join(map(_figures, value)) or "none"
    return f"{value:,.4g}" if isinstance(value, float) else "-" if value is None else str(value)
