"""A fleet whose relation between features and the best algorithm changes when it is told to.

`python -m offline.simulator.regime --to BROKER`; then `{"do": "drift", "magnitude": 0.0625}` on stdin puts
another codec in force (see `hde_codec` in `offline.simulator.fault`) from the next minute on. Of every minute
it says what the best possible decisions would have got right.
"""

from __future__ import annotations

from typing import Final

import click
import numpy as np

from offline.simulator.bank import open_bank
from offline.simulator.ceiling import SelectorCeiling
from offline.simulator.fault import Fault
from offline.simulator.fleet import START_MS, Fleet, FleetPlan
from offline.simulator.player import Told, play, say
from offline.simulator.transfer import Transfers
from schemas.topic import COMPRESSION_RAW
from streams.settings import Settings
from streams.sink import KafkaSink
from streams.stop import stoppable

LONGEST_S: Final = 10 * 3600.0
QUIET: Final = 0.1
"""Contention on the hosts: they are so predictable that some 96 % can be right."""

_CEILING_STREAM: Final = 31


@click.command()
@click.option("--to", "broker", required=True, help="Broker.")
@click.option("--seed", default=1, type=int)
@click.option("--links", default=64, type=int)
@click.option("--rate", default=450.0, type=float, help="Transfers per second of wall clock.")
@click.option("--speed", default=60.0, type=float, help="Event time per second of wall clock, s.")
@click.option("--codec", default=6.0, type=float, help="Magnitude of the codec in force at the beginning.")
def main(broker: str, seed: int, links: int, rate: float, speed: float, codec: float) -> None:
    """Feed a broker with transfers until told to stop."""
    faults = [Fault("drift", "hde_codec", magnitude=codec), Fault("drift", "contention", magnitude=QUIET)]
    plan = FleetPlan(
        seed=seed, seconds=LONGEST_S, links=links, nodes=max(links // 3, 2), transfers=rate / speed / links,
        datasets=("compression",), faults=faults,
    )  # fmt: skip
    bank = open_bank(None, "all", False)
    rng = np.random.default_rng([seed, _CEILING_STREAM])

    def tell_ceiling(transfers: Transfers, _: int) -> None:
        if len(transfers):
            one = SelectorCeiling(rng, bank)
            one.step(transfers)
            at_ms = int(transfers.start_ms[0]) // 60_000 * 60_000
            say(event="ceiling", time_ms=at_ms, scored=one.scored, right=one.right)

    settings = Settings.from_environment()
    fleet = Fleet(plan, bank, {"compression": settings.name_of(COMPRESSION_RAW)}, watch=tell_ceiling)

    def hear(told: Told) -> None:
        if told["do"] == "drift":
            start_s = (fleet.reached_ms - plan.start_ms) / 1000
            fleet.schedule.add(Fault("drift", "hde_codec", start_s=start_s, magnitude=told["magnitude"]))
            say(event="drift", time_ms=fleet.reached_ms, magnitude=told["magnitude"])

    sink = KafkaSink(broker)
    with stoppable() as stopped:
        play(fleet.minutes(), sink, speed, START_MS, hear, stopped)
    sink.close()


if __name__ == "__main__":
    main()
