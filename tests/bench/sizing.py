"""What a worker costs, as formulas fitted to measurements and checked on a point of each kind that was not fitted.

Least squares of relative errors: a tenth too much is as wrong on a small point as on a large one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Point = Mapping[str, Any]


def of_links(measured: Sequence[Point], unseen: Point) -> dict[str, Any]:
    """Resident memory = base + links x bytes, and time of a sample = a + b log10(links)."""

    def terms(one: Point) -> tuple[float, float]:
        return 1.0, one["links"]

    def logarithms(one: Point) -> tuple[float, float]:
        return 1.0, float(np.log10(one["links"]))

    memory = _fit([terms(one) for one in measured], [one["resident_mb"] for one in measured])
    cost = _fit([logarithms(one) for one in measured], [one["us_per_event"] for one in measured])
    return {
        "resident_mb": {"base": round(float(memory[0]), 1), "bytes_per_link": round(1e6 * memory[1])},
        "us_per_event": {"constant": round(float(cost[0]), 2), "per_tenfold_links": round(float(cost[1]), 2)},
        "checked_on": {
            "links": unseen["links"],
            "resident_mb": _check(memory @ terms(unseen), unseen["resident_mb"]),
            "us_per_event": _check(cost @ logarithms(unseen), unseen["us_per_event"]),
        },
    }


def of_polls(measured: Sequence[Point], unseen: Point) -> dict[str, Any]:
    """Time of a poll = a + b partitions + c inputs."""

    def terms(one: Point) -> tuple[float, float, float]:
        return 1.0, one["partitions"], one["inputs"]

    cost = _fit([terms(one) for one in measured], [one["us_per_poll"] for one in measured])
    constant, per_partition, per_input = (round(float(value), 2) for value in cost)
    return {
        "us_per_poll": {"constant": constant, "per_partition": per_partition, "per_input": per_input},
        "checked_on": {
            "partitions": unseen["partitions"], "inputs": unseen["inputs"],
            "us_per_poll": _check(cost @ terms(unseen), unseen["us_per_poll"]),
        },
    }  # fmt: skip


def text(links: Mapping[str, Any], polls: Mapping[str, Any]) -> str:
    """The formulas, and what each said of the point that it did not see."""
    memory, cost, poll = links["resident_mb"], links["us_per_event"], polls["us_per_poll"]
    seen, busy = links["checked_on"], polls["checked_on"]
    a, b = f"{seen['links']:,} links", f"{busy['inputs']} inputs on {busy['partitions']} partitions"
    return "\n".join(
        (
            f"resident MB = {memory['base']:g} + links x {memory['bytes_per_link']:,} / 1,000,000"
            + _said(a, seen["resident_mb"]),
            f"us of processor time a network sample, in batches = {cost['constant']:g} "
            f"{cost['per_tenfold_links']:+g} x log10(links)" + _said(a, seen["us_per_event"]),
            f"us of processor time a poll, all agents = {poll['constant']:,.0f} + {poll['per_partition']:,.0f} x "
            f"partitions + {poll['per_input']:.1f} x inputs" + _said(b, busy["us_per_poll"]),
        )
    )


def stops(measured: Sequence[Point]) -> str:
    """What stops a worker's loop by number of links: the longest by the clock, and in processor time."""
    ordered = sorted(measured, key=lambda one: int(one["links"]))
    names = list(ordered[0]["stops_ms"])
    rows = [["longest stop, ms (of processor time)", *(f"{one['links']:,} links" for one in ordered)]]
    for name in names:
        cells = [one["stops_ms"][name] for one in ordered]
        rows.append([name.replace("_", " "), *(f"{wall:g} ({spent:g})" for wall, spent in cells)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    return "\n".join("  ".join(row).rstrip() for row in padded)


def _fit(terms: Sequence[Sequence[float]], values: Sequence[float]) -> NDArray[np.float64]:
    given, wanted = np.array(terms, np.float64), np.array(values, np.float64)
    return np.linalg.lstsq(given / wanted[:, None], np.ones(len(wanted)), rcond=None)[0]


def _check(told: float, measured: float) -> dict[str, float]:
    return {
        "told": round(float(told), 2),
        "measured": measured,
        "off_pct": round(100 * (float(told) / measured - 1), 1),
    }


def _said(point: str, found: Mapping[str, float]) -> str:
    return f"   ({point}: {found['told']:,.5g} told, {found['measured']:,.5g} measured, {found['off_pct']:+.1f} %)"
