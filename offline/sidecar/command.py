"""`dwcp sidecar`: the process beside the workers that keeps, trains, compares and takes back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import click
import msgspec

from offline.sidecar.schedule import DEFAULT, PERIOD_MS, Schedule
from schemas.error import ConfigError
from streams.log import configure_logging
from streams.settings import Settings
from streams.stop import stoppable

if TYPE_CHECKING:
    from offline.sidecar.metric import Metrics

PromoteBy = Literal["experiment", "labels", "hand"]


@click.command()
@click.option("--once", is_flag=True, help="Read to the end, train what is due, decide, and end; for cron.")
@click.option("--train", "periods", multiple=True, metavar="NAME=PERIOD",
              help=f"When: {', '.join(PERIOD_MS)}. Default: {', '.join('='.join(pair) for pair in DEFAULT.items())}."
              )  # fmt: skip
@click.option(
    "--train-option",
    "train_options",
    multiple=True,
    metavar="NAME:OPTION",
    help="Hand an option on to `dwcp train NAME`, e.g. selector:--candidate=boosting; repeatable.",
)
@click.option("--days", default=30, show_default=True, type=click.IntRange(1), help="Of event time to learn from.")
@click.option("--drift-hours", default=24.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="Of event time since a drift alert that its training waits for and learns from.")  # fmt: skip
@click.option("--gap", "gap_min", default=360.0, show_default=True, type=click.FloatRange(0),
              help="Minutes at least until a training for drift, or after one that came to nothing.")  # fmt: skip
@click.option("--promote-by", type=click.Choice(["experiment", "labels", "hand"]), default="experiment",
              show_default=True, help="How a better shadow becomes champion: tried on live requests, at once, or never."
              )  # fmt: skip
@click.option("--look-every", default=360.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="Minutes between looks at a shadow.")  # fmt: skip
@click.option("--least-labels", default=5_000, show_default=True, type=click.IntRange(100),
              help="Labels before a shadow is judged.")  # fmt: skip
@click.option("--window", "window_s", default=60.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="Seconds of live answers that a champion is judged by at a time.")  # fmt: skip
@click.option("--flush", "flush_s", default=60.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="Seconds between checkpoints.")  # fmt: skip
@click.option("--round", "round_s", default=10.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="Seconds between decisions.")  # fmt: skip
@click.option("--capacity/--no-capacity", default=True, show_default=True, help="Forecast capacity.")
@click.option("--capacity-every", default=1440.0, show_default=True, type=click.FloatRange(min=0, min_open=True),
              help="Minutes between forecasts of capacity.")  # fmt: skip
@click.option("--each-node", is_flag=True, help="Forecast each node's capacity too, not only that of all together.")
@click.option("--keep", "kinds", multiple=True, metavar="KIND",
              help="Topics to read and keep, e.g. system.rollup; repeatable. Default: all.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print what was counted as one JSON document at the end.")
def sidecar(
    once: bool, periods: Sequence[str], train_options: Sequence[str], days: int, drift_hours: float,
    gap_min: float, promote_by: PromoteBy, look_every: float, least_labels: int, window_s: float,
    flush_s: float, round_s: float, capacity: bool, capacity_every: float, each_node: bool, kinds: Sequence[str],
    as_json: bool,
) -> None:  # fmt: skip
    """Keep what streams by, train on it, and lead models from candidate to champion and back.

    Reads the keyed and output topics into Parquet data sets under DWCP_SIDECAR_DATA, each record
    once however often it or a worker is killed. Trains by plan and after drift, in a process of the lowest
    priority; what passes its gates is stored, announced and scored as a shadow. A selector that is
    better on the labels, for certain, is tried in an experiment and becomes champion; a champion that is
    too often wrong, fails, or slows transfers is taken back at once and held. Forests wait for `dwcp models
    promote`, and forecasters until they are challengers: those win or go by the scores of half of the
    links against the other half. Metrics are at DWCP_SIDECAR_PORT.

    \b
    Beside the workers:        dwcp sidecar
    Every night from cron:     dwcp sidecar --once --train selector=daily
    Quick, on little data:     dwcp sidecar --once --train-option selector:--least-rows=1000
    Only keep the data:        dwcp sidecar --train selector=never --train bandwidth=never
                                 --train anomaly=never --train performance=never --promote-by hand
    """
    settings = Settings.from_environment()
    period = dict(DEFAULT) | dict(_pair("--train", one, "=") for one in periods)
    for name, value in period.items():
        if name not in DEFAULT or value not in PERIOD_MS:
            allowed = f"{' or '.join(DEFAULT)}, and {', '.join(PERIOD_MS)}"
            raise ConfigError("--train", f"{name}={value}", allowed)
    more: dict[str, list[str]] = {name: [] for name in DEFAULT}
    for one in train_options:
        name, option = _pair("--train-option", one, ":")
        if name not in more:
            raise ConfigError("--train-option", one, f"NAME:OPTION of {', '.join(DEFAULT)}")
        more[name].append(option)
    try:
        from offline.sidecar.keeper import Rules
        from offline.sidecar.metric import Metrics
        from offline.sidecar.options import TOPICS, Options
        from offline.sidecar.service import Sidecar
        from online_models.experiment.promotion import PromotionRule
    except ImportError as exc:
        raise ConfigError("dwcp sidecar", str(exc), "usable with: pip install 'dwcp-streams[data,train]'") from exc
    known = {topic.kind: topic for topic in TOPICS}
    if unknown := set(kinds) - set(known):
        raise ConfigError("--keep", ", ".join(sorted(unknown)), f"some of {', '.join(known)}")
    options = Options(
        flush_s=flush_s, round_s=round_s, days=days, drift_hours=drift_hours, train=more, capacity=capacity,
        capacity_s=60 * capacity_every, each_node=each_node, keep=[known[kind] for kind in kinds or known],
        schedule=Schedule(period=period, gap_ms=round(gap_min * 60_000)),
        rules=Rules(
            promote_by=promote_by, promotion=PromotionRule(least_labels=least_labels),
            look_every_ms=round(look_every * 60_000), window_ms=round(window_s * 1000),
        ),
    )  # fmt: skip
    configure_logging(settings)
    metrics = Metrics()
    with stoppable() as stopped:
        if not once:
            _serve(settings, metrics)
        found = Sidecar(settings, options, metrics)
        if once:
            found.once(stopped)
        else:
            click.echo(f"keeping {settings.sidecar_data}, metrics at port {settings.sidecar_port}", err=True)
            found.run(stopped)
    if as_json:
        click.echo(msgspec.json.encode(found.counted, order="sorted").decode())


def _pair(option: str, text: str, separator: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not (name and found and value):
        raise ConfigError(option, text, f"two words with '{separator}' between")
    return name, value


def _serve(settings: Settings, metrics: Metrics) -> None:
    """Prometheus metrics, in a thread of the client library's."""
    from prometheus_client import start_http_server

    try:
        start_http_server(settings.sidecar_port, settings.web_host, metrics.registry)
    except OSError as exc:
        raise ConfigError("DWCP_SIDECAR_PORT", settings.sidecar_port, f"a free port ({exc.strerror})") from exc
