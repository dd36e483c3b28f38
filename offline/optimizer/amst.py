"""AMST stream counts beyond the formula: tuned by what transfers achieved, where streams change loss and delay.

Links are the simulator's, loaded by the transfers themselves (`offline.simulator.tcp.load_path`). A transfer ends the
sooner, the more of the path its streams get, and the later, the more they lose and queue. Five policies choose how
many, knowing the link's last sample:

- `formula`: the contract's (`online_models.bandwidth.amst`).
- `law`: as many as the square-root law says fill the path, by the sample's loss and round trip.
- `tuned`: the formula times a factor that is learned from transfers alone, see `Tuner`; what exploring costs is in it.
- `by_type`: the factor that the tuner would use on a new link of the type, learned in the first half: what a worker
  publishes with `DWCP_AMST_FACTORS`.
- `best`: the best number at every moment, the path known.

`law` knows how these paths work, because both are the same square-root law; `tuned` and `by_type` do not.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import stdtrit

from offline.simulator.link import Links, LinkState, Overlay
from offline.simulator.outcome import RATE_SD, STREAM_SETUP_MS
from offline.simulator.probe import Sample, probe
from offline.simulator.tcp import load_path, mathis_mbps
from offline.simulator.transfer import MIX, SIZE_LOG_SD, SIZE_MIB
from online_models.bandwidth.amst import STREAMS, transport
from schemas.field import LINK_TYPES

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

POLICIES: Final = ("formula", "law", "tuned", "by_type", "best")
FACTORS: Final[F64] = np.array([2.0**k for k in range(-6, 3)])
"""What the formula's streams are multiplied by."""

PLAIN: Final = int(np.flatnonzero(FACTORS == 1.0)[0])
COUNTS: Final = np.unique(np.round(np.geomspace(*STREAMS, 64)).astype(np.int64))
BUFFER_SHARE: Final = 0.5
"""Delay of a full buffer over the base round trip, beside half a millisecond."""

START_MS: Final = 1_767_571_200_000
_MS_PER_MIB: Final = (1 << 20) * 8 / 1e3
_SURE: Final = 3.0
_PRIOR: Final = 10.0


class Row(Struct, frozen=True):
    """One policy on links of one type: geometric mean of its transfers' times over the formula's, and what they cause.

    `time_ratio_upper` is the upper end of its 95 % interval, by the spread between links. `queue` is the added delay
    as a share of the base round trip; `streams` is a median.
    """

    link_type: str
    policy: str
    time_ratio: float
    time_ratio_upper: float
    streams: float
    loss: float
    queue: float


class Study(Struct, frozen=True):
    """What every policy reached, and the factors by type of link that beat the formula for certain, if any do."""

    rows: list[Row]
    factors: dict[str, float]


class Tuner:
    """Learns by which factor each link's transfers end soonest, from their times alone.

    A time is held against what the link's sample promised, which takes most of what has nothing to do with the
    factor out of it. A link's record is completed by that of its type. Another factor than 1 is used where it
    is better than 1 by three standard errors; one transfer in ten tries a neighbour of what is in use.

    Parameters
    ----------
    link_type
        Of each link.
    """

    def __init__(self, link_type: I64) -> None:
        self._type = link_type
        shape = (len(link_type), len(FACTORS))
        self._weight, self._total, self._square = np.zeros(shape), np.zeros(shape), np.zeros(shape)

    def best(self) -> I64:
        """Index of the factor in use, `[link]`."""
        return self._better(*self._known())

    def best_by_type(self) -> I64:
        """Index of the factor that a new link of each type would use, `[link type]`."""
        return self._better(*_moments(*np.stack([self._pooled(k) for k in range(len(LINK_TYPES))], axis=1)))

    @staticmethod
    def _better(weight: F64, mean: F64, error: F64) -> I64:
        better = mean - mean[:, [PLAIN]] + _SURE * np.hypot(error, error[:, [PLAIN]])
        better[weight <= 1.0] = np.inf
        better[:, PLAIN] = 0.0
        return np.asarray(better.argmin(axis=1))

    def choose(self, rng: np.random.Generator) -> I64:
        """Index of the factor of each link's next transfer, `[link]`."""
        used = self.best()
        trying = rng.random(len(used)) < 0.1
        step = np.where(rng.random(len(used)) < 0.5, -1, 1)
        return np.asarray(np.where(trying, np.clip(used + step, 0, len(FACTORS) - 1), used))

    def learn(self, chosen: I64, excess: F64) -> None:
        """Take in the logarithm of each link's time over what was promised, `[link]`."""
        each = np.arange(len(chosen))
        self._weight[each, chosen] += 1.0
        self._total[each, chosen] += excess
        self._square[each, chosen] += excess**2

    def _known(self) -> tuple[F64, F64, F64]:
        """Weights, means and standard errors, each link's own completed by its type's, `[link, factor]`."""
        pooled = np.stack([self._pooled(k) for k in range(len(LINK_TYPES))], axis=1)[:, self._type]
        share = _PRIOR / np.maximum(pooled[0], _PRIOR)
        own = (self._weight, self._total, self._square)
        return _moments(*(mine + share * typical for mine, typical in zip(own, pooled, strict=True)))

    def _pooled(self, kind: int) -> F64:
        """Sums over the links of a type, `[3, factor]`."""
        own = self._type == kind
        return np.stack([part[own].sum(axis=0) for part in (self._weight, self._total, self._square)])


def _moments(weight: F64, total: F64, square: F64) -> tuple[F64, F64, F64]:
    """Weights, means and their standard errors, of sums."""
    size = np.maximum(weight, 1e-9)
    mean = total / size
    return weight, mean, np.sqrt(np.maximum(square / size - mean**2, 0.01) / np.maximum(weight, 1.0))


class Recorder:
    """What transfers of each policy were like, by type of link, after the tuner's first half."""

    def __init__(self, link_type: I64) -> None:
        self._type = link_type
        self._found: dict[str, list[F64]] = {name: [] for name in POLICIES}

    def add(self, policy: str, time_ms: F64, streams: F64, loss: F64, queue: F64) -> None:
        """One transfer on each link."""
        self._found[policy].append(np.array([np.log(time_ms), streams, loss, queue]))

    def rows(self) -> list[Row]:
        """Every policy on every type of link, then on all."""
        found = {name: np.stack(parts) for name, parts in self._found.items()}
        groups = [*((name, self._type == k) for k, name in enumerate(LINK_TYPES)), ("all", self._type >= 0)]
        return [_row(name, policy, value[:, :, own], found["formula"][:, :, own])
                for name, own in groups for policy, value in found.items()]  # fmt: skip


def _row(link_type: str, policy: str, value: F64, plain: F64) -> Row:
    """Of `[minutes, (log time, streams, loss, queue), links]`."""
    ratio = (value[:, 0] - plain[:, 0]).mean(axis=0)
    half = float(stdtrit(len(ratio) - 1, 0.975)) * ratio.std(ddof=1) / np.sqrt(len(ratio))
    return Row(
        link_type, policy, float(np.exp(ratio.mean())), float(np.exp(ratio.mean() + half)),
        float(np.median(value[:, 1])), float(value[:, 2].mean()), float(value[:, 3].mean()),
    )  # fmt: skip


def run_amst(links: int = 48, minutes: int = 2880, seed: int = 0) -> Study:
    """A transfer a minute on every link, by every policy under the same conditions; the second half is reported."""
    rng = np.random.default_rng(seed)
    kind = np.arange(links) % len(LINK_TYPES)
    fleet = Links(rng, kind, np.zeros(links))
    tuner, recorder = Tuner(kind), Recorder(kind)
    by_type = np.full(links, PLAIN)
    buffer_ms = BUFFER_SHARE * fleet.base_rtt_ms + 0.5
    sample = probe(rng, fleet.state(START_MS, Overlay.none(links)), fleet.streams)
    for minute in range(1, minutes + 1):
        fleet.step()
        state = fleet.state(START_MS + 60_000 * minute, Overlay.none(links))
        size, noise = _sizes(rng, kind), np.exp(RATE_SD * rng.standard_normal(links))
        plain = _formula(sample)
        chosen = tuner.choose(rng)
        law = np.ceil(sample.throughput_mbps / mathis_mbps(sample.rtt_ms, np.maximum(sample.packet_loss, 1e-6)))
        every = np.stack([_time(np.full(links, n), state, size, noise, buffer_ms)[0] for n in COUNTS])
        counts = {
            "formula": plain, "law": np.clip(law, *STREAMS), "tuned": _times(plain, FACTORS[chosen]),
            "by_type": _times(plain, FACTORS[by_type]), "best": COUNTS[every.argmin(axis=0)],
        }  # fmt: skip
        for policy, streams in counts.items():
            time_ms, loss, queue = _time(streams, state, size, noise, buffer_ms)
            if policy == "tuned":
                promised = size * _MS_PER_MIB / sample.throughput_mbps + 2 * sample.rtt_ms
                tuner.learn(chosen, np.log(time_ms / promised))
            if minute > minutes // 2:
                recorder.add(policy, time_ms, np.asarray(streams, np.float64), loss, queue)
        if minute == minutes // 2:
            by_type = tuner.best_by_type()[kind]
        sample = probe(rng, state, fleet.streams)
    rows = recorder.rows()
    upper = {row.link_type: row.time_ratio_upper for row in rows if row.policy == "by_type"}
    learned = {name: float(FACTORS[by_type[kind == k][0]]) for k, name in enumerate(LINK_TYPES)}
    return Study(rows, {name: factor for name, factor in learned.items() if factor != 1.0 and upper[name] < 1.0})


def _formula(sample: Sample) -> F64:
    """The contract's streams for the last sample, `[link]`."""
    columns = (sample.throughput_mbps, sample.rtt_ms, sample.packet_loss, sample.jitter_ms)
    return np.array([transport(*one)[0] for one in np.column_stack(columns).tolist()], np.float64)


def _times(plain: F64, factor: F64) -> F64:
    return np.clip(np.floor(plain * factor), *STREAMS)


def _time(streams: F64 | I64, state: LinkState, size: F64, noise: F64, buffer_ms: F64) -> tuple[F64, F64, F64]:
    """How long a transfer takes on every link, ms, and the loss and the share of delay that it meets."""
    path = load_path(streams, state.rtt_ms, state.loss, state.available_mbps, buffer_ms)
    took = size * _MS_PER_MIB / (path.goodput_mbps * noise) + 2 * path.rtt_ms + STREAM_SETUP_MS * streams
    return took, path.loss, path.rtt_ms / state.rtt_ms - 1.0


def _sizes(rng: np.random.Generator, kind: I64) -> F64:
    """Sizes as the fleet's transfers have them, MiB, `[link]`."""
    payload = (rng.random(len(kind))[:, None] > np.cumsum(MIX, axis=1)[kind][:, :-1]).sum(axis=1)
    return np.asarray(SIZE_MIB[payload] * np.exp(SIZE_LOG_SD * rng.standard_normal(len(kind))))
