"""How fast the fleet generates: events per second into a sink that drops them, as JSON.

Run: `python -m tests.bench.simulate` in the repository.
"""

from __future__ import annotations

import argparse
import json
import time

from offline.simulator.bank import measure
from offline.simulator.feed import Pace, feed
from offline.simulator.fleet import Fleet, FleetPlan
from offline.simulator.payload import generated
from offline.simulator.sink import NullSink


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--links", type=int, default=64)
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--faults", choices=["none", "random"], default="random")
    args = parser.parse_args()
    began = time.perf_counter()
    bank = measure(generated(1), "generated")
    bank_s = time.perf_counter() - began
    faults = "random" if args.faults == "random" else ()
    plan = FleetPlan(seconds=60 * args.minutes, links=args.links, nodes=max(args.links // 2, 1), faults=faults)
    for _ in Fleet(FleetPlan(seconds=60), bank).minutes():
        pass
    wall, cpu = time.perf_counter(), time.process_time()
    sent = feed(Fleet(plan, bank), NullSink(), Pace(), lambda: False, lambda *_: None)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    events = sum(sent.events.values())
    figures = {"events": events, "events_per_second": events / wall, "events_per_cpu_second": events / cpu}
    print(json.dumps(figures | {"bytes": sum(sent.value_bytes.values()), "bank_s": bank_s}))


if __name__ == "__main__":
    main()
