"""The payload bank: what HDE really achieves on each payload, measured once.

Compressing every transfer of a fleet would cost a hundred times what simulating it
does. So each payload version is encoded once per level, with its ratio, hit rate,
wall and CPU time, and the fleet samples from the table. Timings differ from run to
run, so the table is kept as a file and its fingerprint is part of a run's identity.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from offline.simulator.delta import encode
from offline.simulator.payload import PayloadSeries, generated, machine
from schemas.error import ConfigError, InfraError
from schemas.field import PAYLOAD_TYPES

LEVELS: Final = (1, 3, 6)
REPETITION_BLOCK_BYTES: Final = 512

_FORMAT: Final = 1
_SEED: Final = 20260105

Source = Literal["all", "generated"]


class BankRow(Struct, frozen=True):
    """One payload version encoded at one level; times per MiB of the original."""

    name: str
    payload_type: str
    version: int
    level: int
    has_baseline: bool
    size_bytes: int
    entropy: float
    repetition: float
    ratio: float
    hit_rate: float
    encode_ms_per_mib: float
    cpu_ms_per_mib: float


class _BankFile(Struct, frozen=True):
    format: int
    source: str
    rows: list[BankRow]


class Bank:
    """The measured table as columns, grouped by payload type, baseline and level.

    Parameters
    ----------
    rows
        Measurements; every type, with and without baseline, at every level of `LEVELS`.

    Raises
    ------
    ValueError
        When a group has no row.
    """

    def __init__(self, rows: Sequence[BankRow], source: str) -> None:
        self.rows = sorted(rows, key=lambda r: (_group_of(r), r.name, r.version))
        self.source = source
        groups = np.array([_group_of(r) for r in self.rows])
        kinds = np.arange(len(PAYLOAD_TYPES) * 2 * len(LEVELS))
        self.group_start = np.searchsorted(groups, kinds, "left")
        self.group_count = np.searchsorted(groups, kinds, "right") - self.group_start
        if not self.group_count.all():
            raise ValueError(f"no payload in groups {kinds[self.group_count == 0].tolist()}")
        self.entropy = self._column("entropy")
        self.repetition = self._column("repetition")
        self.ratio = self._column("ratio")
        self.hit_rate = self._column("hit_rate")
        self.encode_ms_per_mib = self._column("encode_ms_per_mib")
        self.cpu_ms_per_mib = self._column("cpu_ms_per_mib")

    def _column(self, name: str) -> NDArray[np.float64]:
        return np.array([getattr(r, name) for r in self.rows], np.float64)

    @property
    def fingerprint(self) -> str:
        """First 12 hex digits of the SHA-256 of the table."""
        return hashlib.sha256(msgspec.json.encode(self.rows)).hexdigest()[:12]

    def group(self, payload_type: int, has_baseline: bool, level: int) -> slice:
        """Rows of one payload type (index), with or without baseline, at a level (index)."""
        number = group_number(payload_type, has_baseline, level)
        start = int(self.group_start[number])
        return slice(start, start + int(self.group_count[number]))

    def save(self, path: Path) -> None:
        """Write the table; a reader never sees half of it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(msgspec.json.format(msgspec.json.encode(_BankFile(_FORMAT, self.source, self.rows)), indent=1))
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Bank:
        """Read a table.

        Raises
        ------
        ConfigError
            When the file is not a bank of this format.
        """
        try:
            file = msgspec.json.decode(path.read_bytes(), type=_BankFile)
            if file.format != _FORMAT:
                raise ValueError(f"format {file.format}")
            return cls(file.rows, file.source)
        except (OSError, ValueError) as exc:
            allowed = f"a bank file of format {_FORMAT}; --rebuild-bank writes a new one ({exc})"
            raise ConfigError("--bank", str(path), allowed) from exc


def group_number(payload_type: Any, has_baseline: Any, level: Any) -> Any:
    """Index of a group in the bank's tables; of ints, or of int arrays."""
    return (payload_type * 2 + has_baseline) * len(LEVELS) + level


def measure(series: Sequence[PayloadSeries], source: str, repeats: int = 3) -> Bank:
    """Encode every version at every level, with and without its baseline, and time it."""
    rows = []
    for one in series:
        previous = b""
        for version, payload in enumerate(one.versions):
            about = (entropy_bits(payload), repetition_pct(payload))
            for level in LEVELS:
                if previous:
                    rows.append(_measure(one, version, previous, level, about, repeats))
                if version < 2:
                    rows.append(_measure(one, version, b"", level, about, repeats))
            previous = payload
    return Bank(rows, source)


def open_bank(path: Path | None = None, source: Source = "all", rebuild: bool = False) -> Bank:
    """The bank at `path`, or in the user's cache; measured now when there is none, or on `rebuild`.

    Raises
    ------
    ConfigError
        When the file is not a bank.
    InfraError
        When it cannot be written.
    """
    path = path or cache_path(source)
    if path.exists() and not rebuild:
        return Bank.load(path)
    series = generated(_SEED) + (machine(_SEED) if source == "all" else [])
    bank = measure(series, source)
    try:
        bank.save(path)
    except OSError as exc:
        raise InfraError(f"cannot write the payload bank {path}: {exc.strerror}; choose another with --bank") from exc
    return bank


def cache_path(source: Source) -> Path:
    """Where the bank is kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "dwcp" / f"bank-{source}-v{_FORMAT}.json"


def entropy_bits(payload: bytes) -> float:
    """Order-0 Shannon entropy, bits per byte.

    >>> entropy_bits(bytes(range(256)))
    8.0
    """
    counts = np.bincount(np.frombuffer(payload, np.uint8), minlength=256)
    p = counts[counts > 0] / max(len(payload), 1)
    return float(-(p * np.log2(p)).sum()) + 0.0


def repetition_pct(payload: bytes) -> float:
    """Blocks that occurred before in the same payload, %.

    >>> repetition_pct(bytes(2048))
    75.0
    """
    blocks = [payload[i : i + REPETITION_BLOCK_BYTES] for i in range(0, len(payload), REPETITION_BLOCK_BYTES)]
    return 100.0 * (1 - len(set(blocks)) / max(len(blocks), 1))


def _group_of(row: BankRow) -> int:
    return int(group_number(PAYLOAD_TYPES.index(row.payload_type), row.has_baseline, LEVELS.index(row.level)))


def _measure(
    series: PayloadSeries, version: int, previous: bytes, level: int, about: tuple[float, float], repeats: int
) -> BankRow:
    payload = series.versions[version]
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
        encoded = encode(payload, previous, level)
        cpus.append(time.thread_time_ns() - cpu)
        walls.append(time.perf_counter_ns() - wall)
    mib = len(payload) / (1 << 20)
    # The median: one interruption by another process must not enter the table.
    wall_ms = statistics.median(walls) / 1e6 / mib
    cpu_ms = max(statistics.median(cpus) / 1e6 / mib, 1e-3)
    entropy, repetition = about
    return BankRow(
        series.name,
        series.payload_type,
        version,
        level,
        bool(previous),
        len(payload),
        round(entropy, 6),
        round(repetition, 6),
        round(len(payload) / len(encoded.data), 6),
        round(encoded.hit_rate, 6),
        round(wall_ms, 4),
        round(cpu_ms, 4),
    )
