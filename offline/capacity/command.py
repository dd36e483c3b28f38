"""`dwcp capacity`: when what runs out."""

from __future__ import annotations

import time as clock
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import click
import msgspec
from msgspec import Struct

from offline.backtest.bandwidth_command import Duration
from offline.capacity.allocation_command import allocate
from offline.capacity.blend import Outlook, look_ahead, sound_horizon
from offline.capacity.event import Event, lift, read_events, without_events
from offline.capacity.history import DAY_MS, History, make_history
from offline.capacity.plan import Case, divergence_alerts, make_case, make_plan, urgency_alerts
from offline.capacity.resource import Resource, read_settings, usable
from offline.capacity.rollup import Figure
from offline.capacity.source import Source, chosen, source_options
from schemas.capacity import CapacityAlert, CapacityForecast, CapacityPlan
from schemas.error import ConfigError


class Document(Struct, frozen=True):
    """What `--json` prints, and `--previous` reads."""

    forecasts: list[CapacityForecast]
    plan: CapacityPlan
    alerts: list[CapacityAlert]
    weights: dict[str, dict[str, float]]


@click.group()
def capacity() -> None:
    """Forecast resources, and plan for what they will need."""


capacity.add_command(allocate)


@capacity.command()
@source_options
@click.option("--figure", type=click.Choice(get_args(Figure)), default="mean", show_default=True,
              help="What of each rolled-up hour.")  # fmt: skip
@click.option("--value", "values", multiple=True, metavar="COLUMN[=RESOURCE]",
              help="Column of a resource, again for more; by default columns that resources are known by.")  # fmt: skip
@click.option("--resource", metavar="NAME", help="Which resource the column is, for a file with one of them.")
@click.option("--warning", type=float, help="Level from which to warn; by default the resource's.")
@click.option("--critical", type=float, help="Level that is not to be reached; by default the resource's.")
@click.option("--full", type=float, help="What the column shows when all is in use, for what is not in percent.")
@click.option("--scope", help="What runs out together: a node or a group; by default the file's name.")
@click.option("--horizon", type=Duration(), default="30d", show_default=True, help="How far ahead.")
@click.option("--events", type=click.Path(dir_okay=False, path_type=Path),
              help="CSV file of holidays and events: name, start, end.")  # fmt: skip
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path),
              help="TOML file of resources, sizes and unit costs.")  # fmt: skip
@click.option("--previous", type=click.Path(dir_okay=False, path_type=Path),
              help="What --json printed last time: alerts tell what changed.")  # fmt: skip
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), help="Picture to write.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def forecast(
    source: Source,
    figure: Figure,
    time: str | None,
    values: Sequence[str],
    resource: str | None,
    warning: float | None,
    critical: float | None,
    full: float | None,
    scope: str | None,
    horizon: int,
    events: Path | None,
    config: Path | None,
    previous: Path | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Forecast the resources in a CSV file or of nodes, and plan for them.

    Values are made means of an hour (of a day or longer where the file has no more), those
    more than three deviations off are left out of what is learned. A resource is forecast as far
    ahead as asked, at most as long as its history. The forecast is a blend of methods, weighted
    by what each would have missed in the series' own past; `dwcp backtest capacity` tells how good
    that is on a file.

    \b
    A resource in percent:     dwcp capacity forecast --csv cpu.csv --resource cpu --plot cpu.png
    Several of a node:         dwcp capacity forecast --csv node-1.csv --value cpu_usage=cpu --value disk=storage
    Something of your own:     dwcp capacity forecast --csv gpu.csv --resource gpu --warning 70 --critical 90
    Requests against a limit:  dwcp capacity forecast --csv rps.csv --resource request_rate --full 4000
    A node on the broker:      dwcp capacity forecast --from-topics --node node-1
    For a program:             dwcp capacity forecast --csv cpu.csv --resource cpu --json | jq .plan.needs

    \b
    A --config file:
      cost_unit = "EUR/month"
      [resource.storage]
      size = 40000          # GB that the scope has
      unit_cost = 0.10      # of one more GB
      [resource.gpu]
      warning = 70
      critical = 90
      columns = ["gpu_util"]
    """
    settings, known = read_settings(config)
    said = {"warning": warning, "critical": critical, "full": full}
    changes = {name: value for name, value in said.items() if value is not None}
    before = _read_previous(previous)
    found_events = read_events(events) if events else []
    series = source.read(time, [value.rpartition("=")[0] or value for value in values], figure)
    scope = scope or source.scope
    cases = []
    for column, name in chosen(series, values, resource, known).items():
        click.echo(f"forecasting {name} from {column}: {len(series)} rows", err=True)
        meant = usable(name, msgspec.structs.replace(known.get(name, Resource()), **changes))
        factor = 100.0 / meant.full if meant.unit == "percent" and meant.full else 1.0
        history = make_history(column, series.time_ms, series.columns[column] * factor)
        cases.append(make_case(scope, name, meant, outlook_of(history, horizon, found_events)))
    plan = make_plan(scope, cases, settings, round(clock.time() * 1000))
    alerts = urgency_alerts(plan, cases, before.plan if before else None)
    if before:
        alerts += divergence_alerts(plan, cases, before.forecasts, settings.divergence_pct)
    if plot:
        from offline.capacity.plot import draw

        draw(cases, plan, plot)
    if as_json:
        weights = {case.name: {k: round(w, 4) for k, w in case.outlook.weights.items()} for case in cases}
        click.echo(msgspec.json.encode(Document([case.forecast for case in cases], plan, alerts, weights)))
        return
    click.echo("\n".join(_lines(plan, cases, alerts, horizon)))


def outlook_of(history: History, horizon_ms: int, events: Sequence[Event]) -> Outlook:
    """The forecast of a series with known events.

    Parameters
    ----------
    horizon_ms
        How far ahead; at most the length of the history.
    """
    horizon = sound_horizon(history, horizon_ms)
    if not events:
        return look_ahead(history, horizon)
    quiet = without_events(history, events)
    return look_ahead(quiet, horizon, lift(history, quiet, events, horizon * history.per_block))


def _read_previous(path: Path | None) -> Document | None:
    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Document)
    except (OSError, msgspec.DecodeError) as exc:
        raise ConfigError("--previous", str(path), f"what `dwcp capacity forecast --json` printed ({exc})") from exc


def _lines(plan: CapacityPlan, cases: Sequence[Case], alerts: Sequence[CapacityAlert], asked_ms: int) -> list[str]:
    """The plan for people."""
    lines = [f"{plan.scope}: {plan.horizon_days} days from {_date(plan.timestamp)}, confidence {plan.confidence:.2f}"]
    lines.append(
        f"  {'resource':<14}{'now':>8}{'then':>8}{'critical':>10}{'reached':>13}{'by then %':>11}  urgency   action"
    )
    for case in cases:
        need = plan.needs[case.name]
        reached = "-" if need.exceeds_at is None else _date(need.exceeds_at)
        lines.append(
            f"  {case.name:<14}{need.current:>8.1f}{need.forecast:>8.1f}{need.critical_threshold:>10g}{reached:>13}"
            f"{100 * need.exceeds_probability:>11.0f}  {need.urgency:<10}{need.recommended_action}"
        )
    if plan.cost_estimate:
        lines.append(f"  cost {plan.cost_estimate:g} {plan.cost_unit}")
    lines += [f"  by {_date(step.due)}: {step.action}" for step in plan.timeline]
    for case in cases:
        if (days := case.outlook.steps * case.forecast.step_ms / DAY_MS) < asked_ms / DAY_MS - 1:
            lines.append(f"  {case.name}: {days:g} days ahead, as long as its history, not {asked_ms / DAY_MS:g}")
        lines += [f"  {case.name}: {_probabilities(case)}"]
    lines += [f"  risk: {risk}" for risk in plan.risks]
    lines += [f"  alert: {a.resource} {a.reason}, {a.urgency} (was {a.previous_urgency or 'unknown'})" for a in alerts]
    return lines


def _probabilities(case: Case) -> str:
    """Critical reached by when, at a few dates."""
    record = case.forecast
    last = len(record.predicted) - 1
    at: list[int] = sorted({round(last * share) for share in (0.25, 0.5, 0.75, 1.0)})
    said = [
        f"{100 * record.critical_probability[k]:.0f} % by {_date(record.first_target_time + k * record.step_ms)}"
        for k in at
    ]
    return f"{record.critical_threshold:g} reached with {', '.join(said)}"


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")
