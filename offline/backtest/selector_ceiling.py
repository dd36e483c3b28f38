"""The best decisions that a simulated recording allows: the fleet is run again, with the truth in view."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from offline.backtest.selector_score import Quality, Truth, quality
from offline.simulator.bank import Bank, cache_path
from offline.simulator.ceiling import SelectorCeiling
from offline.simulator.fleet import Fleet, FleetPlan
from offline.simulator.transfer import Transfers
from schemas.batch import Columns
from schemas.error import ConfigError

LOOKS: Final = 8
"""So many times 64 draws: with one look the best decisions lose some 4 % more than they should."""

_CEILING_STREAM: Final = 21


class Reachable(NamedTuple):
    """The best decisions, `[n]`, NaN where a row is not of the fleet.

    Parameters
    ----------
    probability
        Of AMST being best, given everything but the payload and the noise.
    choice
        The side expected to lose less, 0 or 1.
    """

    probability: NDArray[np.float64]
    choice: NDArray[np.int64]


def ceilings(reached: Reachable, truth: Truth) -> tuple[Quality, Quality]:
    """The decisions that lose least, and those that are right most often; they are not the same."""
    likelier = (reached.probability > 0.5).astype(np.int64)
    return (
        quality("ceiling", reached.choice, truth, reached.probability),
        quality("ceiling of accuracy", likelier, truth, reached.probability),
    )


class _Summary(Struct):
    """What `dwcp simulate --json` prints, as far as it is needed to run it again."""

    seed: int
    bank: str
    start_ms: int
    end_ms: int
    links: int
    nodes: int
    transfers_per_link_s: float


def reachable(summary: Path, columns: Columns, row: NDArray[np.intp], bank_path: Path | None = None) -> Reachable:
    """Run the fleet of a recording again and decide as well as can be.

    Parameters
    ----------
    summary
        What `dwcp simulate --json` printed when it made the recording (no faults, no traces).
    columns, row
        Telemetry, and the rows to decide.
    bank_path
        The payload bank, where it is not in the cache.

    Raises
    ------
    ConfigError
        When the file is no summary, the bank is another one, or the fleet is not that of the recording.
    """
    try:
        said = msgspec.json.decode(summary.read_bytes(), type=_Summary)
    except (OSError, msgspec.DecodeError) as exc:
        raise ConfigError("--fleet", str(summary), f"what `dwcp simulate --json` printed ({exc})") from exc
    bank = _bank(said.bank, bank_path)
    plan = FleetPlan(
        seed=said.seed, seconds=(said.end_ms - said.start_ms) / 1000, links=said.links, nodes=said.nodes,
        start_ms=said.start_ms, transfers=said.transfers_per_link_s, datasets=("compression",),
    )  # fmt: skip
    decided = _Decided(
        bank, said.seed, {event: k for k, event in enumerate(columns["event_id"][row].tolist())}, columns, row
    )
    fleet = Fleet(plan, bank, watch=decided)
    for _ in fleet.minutes():
        pass
    if np.isnan(decided.probability).any():
        missing = int(np.isnan(decided.probability).sum())
        raise ConfigError("--fleet", str(summary), f"that of this recording; {missing} of its transfers are others")
    return Reachable(decided.probability, decided.choice)


class _Decided:
    """Collects the best decisions for some events."""

    def __init__(self, bank: Bank, seed: int, wanted: dict[str, int], columns: Columns, row: NDArray[np.intp]) -> None:
        self._ceiling = SelectorCeiling(np.random.default_rng([seed, _CEILING_STREAM]), bank)
        self._wanted, self._columns, self._row = wanted, columns, row
        self.probability = np.full(len(row), np.nan)
        self.choice = np.zeros(len(row), np.int64)

    def __call__(self, transfers: Transfers, first: int) -> None:
        places = [self._wanted.get(f"tx-{first + k:010d}", -1) for k in range(len(transfers))]
        index = np.flatnonzero(np.array(places) >= 0)
        if not len(index):
            return
        at = np.array(places)[index]
        same = transfers.start_ms[index].astype(np.int64) == self._columns["timestamp"][self._row[at]]
        share, hde_loss, amst_loss = np.mean([self._ceiling.outlook(transfers, index) for _ in range(LOOKS)], axis=0)
        self.probability[at] = np.where(same, 1.0 - share, np.nan)
        self.choice[at] = amst_loss < hde_loss


def _bank(fingerprint: str, path: Path | None) -> Bank:
    paths: list[Any] = [path] if path is not None else [cache_path("all"), cache_path("generated")]
    for one in paths:
        if one.exists() and (bank := Bank.load(one)).fingerprint == fingerprint:
            return bank
    there = ", ".join(str(one) for one in paths)
    raise ConfigError("--bank", there, f"the payload bank {fingerprint} that the fleet was simulated with")
