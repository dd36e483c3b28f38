"""Real bytes to compress: successive versions of memory, disks, files and streams.

Two origins. *Generated*: structures of running code (a hash table with its log, an
SQLite database, a rotated log, telemetry, ciphertext), changed by real operations
between two snapshots and reproducible from a seed. *Machine*: files found here
(Python sources, shared libraries, logs), with a baseline made by editing them.
"""

from __future__ import annotations

import bz2
import sqlite3
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.random import Generator

from schemas.field import PayloadType

SIZE_BYTES: Final = 256 * 1024
VERSIONS: Final = 4

_WORDS: Final = (
    "migration", "started", "finished", "link", "peer", "snapshot", "page", "dirty", "flushed", "retry", "timeout",
    "consensus", "leader", "elected", "quorum", "delta", "baseline", "stream", "window", "congestion", "checkpoint",
    "restored", "block", "checksum", "replica", "scheduled",
)  # fmt: skip
_LEVELS: Final = ("INFO", "INFO", "INFO", "DEBUG", "WARN", "ERROR")


@dataclass(frozen=True, slots=True)
class PayloadSeries:
    """Versions of one payload, oldest first; each is the next one's baseline."""

    name: str
    payload_type: PayloadType
    versions: tuple[bytes, ...]


def generated(seed: int, size_bytes: int = SIZE_BYTES, versions: int = VERSIONS) -> list[PayloadSeries]:
    """Payloads made by code in this file; the same for the same arguments."""
    rng = np.random.default_rng(seed)
    series = []
    for dirty in (0.002, 0.02, 0.2):
        snapshots = _heap(rng, size_bytes, versions, dirty)
        series.append(PayloadSeries(f"heap-{dirty}", "vm_memory", tuple(snapshots)))
    for changes in (20, 400):
        snapshots = _database(rng, size_bytes, versions, changes)
        series.append(PayloadSeries(f"sqlite-{changes}", "disk_block", tuple(snapshots)))
    for churn in (0.01, 0.3):
        snapshots = _encrypted_disk(rng, size_bytes, versions, churn)
        series.append(PayloadSeries(f"encrypted-{churn}", "disk_block", tuple(snapshots)))
    lines = _log_lines(rng, 8 * size_bytes)
    log = lines.encode()
    step = size_bytes // 8
    grown = tuple(log[i * step : i * step + size_bytes] for i in range(versions))
    series.append(PayloadSeries("rotated-log", "file", grown))
    archives = tuple(bz2.compress(log[: size_bytes * (4 + i)])[:size_bytes] for i in range(versions))
    series.append(PayloadSeries("archive", "file", archives))
    series.append(PayloadSeries("log-stream", "stream", tuple(_chunks(log, size_bytes, versions))))
    telemetry = _telemetry(rng, size_bytes * versions)
    series.append(PayloadSeries("telemetry-stream", "stream", tuple(_chunks(telemetry, size_bytes, versions))))
    noise = rng.bytes(size_bytes * versions)
    series.append(PayloadSeries("ciphertext-stream", "stream", tuple(_chunks(noise, size_bytes, versions))))
    return series


def machine(seed: int, size_bytes: int = SIZE_BYTES, limit: int = 6) -> list[PayloadSeries]:
    """Payloads from files found on this machine, at most `limit` of each kind; empty where none are."""
    rng = np.random.default_rng([seed, 1])
    stdlib = Path(sysconfig.get_paths()["stdlib"])
    sources = _gather(sorted(stdlib.glob("*.py")), size_bytes, limit)
    libraries = sorted(stdlib.rglob("*.so"), key=lambda p: (-p.stat().st_size, str(p)))
    binaries = _gather(libraries, size_bytes, limit)
    series: list[PayloadSeries] = []
    for i, (data, donor) in enumerate(zip(sources, sources[1:] + sources[:1], strict=True)):
        series.append(PayloadSeries(f"source-{i}", "file", _upgraded(rng, data, donor, 0.1)))
    for i, (data, donor) in enumerate(zip(binaries, binaries[1:] + binaries[:1], strict=True)):
        series.append(PayloadSeries(f"binary-{i}", "vm_memory", _patched(rng, data, donor, 0.1)))
        series.append(PayloadSeries(f"image-{i}", "disk_block", _patched(rng, data, donor, 0.3)))
    logs = _gather(_readable_logs(), size_bytes, limit)
    series += [PayloadSeries(f"syslog-{i}", "stream", (data,)) for i, data in enumerate(logs)]
    return series


def _chunks(data: bytes, size: int, count: int) -> Iterator[bytes]:
    return (data[i * size : (i + 1) * size] for i in range(count))


def _heap(rng: Generator, size: int, versions: int, dirty: float) -> Iterator[bytes]:
    """Snapshots of a process: an open-addressing hash table, its log arena, pages never touched."""
    slots = size // 4 // 16
    keys = np.zeros(slots, np.uint64)
    values = np.zeros(slots, np.float64)
    arena = bytearray(_log_lines(rng, size // 4).encode()[: size // 4])
    untouched = bytes(size // 4)
    inserted = rng.integers(1, 1 << 40, slots // 2).astype(np.uint64)
    for key in inserted.tolist():
        _insert(keys, values, key, 1.0)
    mapped = rng.bytes(size // 8)
    counters = np.arange(size // 8 // 8, dtype=np.int64)
    for version in range(versions):
        if version:
            # Accesses are local, as a process's are: one window of keys, one stretch of counters.
            count = max(int(slots * dirty), 1)
            first = int(rng.integers(0, max(len(inserted) - count, 1)))
            hot = np.sort(keys[keys > 0])[first : first + count]
            for key in hot.tolist():
                _insert(keys, values, key, float(rng.normal()))
            stretch = max(int(len(counters) * dirty), 1)
            start = int(rng.integers(0, len(counters) - stretch))
            counters[start : start + stretch] += rng.integers(1, 9, stretch)
            line = _log_lines(rng, max(int(len(arena) * dirty), 64)).encode()
            place = int(rng.integers(0, len(arena) - len(line))) if len(line) < len(arena) else 0
            arena[place : place + len(line)] = line[: len(arena)]
        yield keys.tobytes() + values.tobytes() + bytes(arena) + untouched + mapped + counters.tobytes()


def _insert(keys: np.ndarray, values: np.ndarray, key: int, amount: float) -> None:
    """Insert by linear probing; keys land near their rank, so neighbours share pages."""
    slot = (key >> 20) * len(keys) >> 20
    while keys[slot % len(keys)] not in (0, key):
        slot += 1
    keys[slot % len(keys)] = key
    values[slot % len(keys)] += amount


def _database(rng: Generator, size: int, versions: int, changes: int) -> Iterator[bytes]:
    """An SQLite file between transactions."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE vm (id INTEGER PRIMARY KEY, host TEXT, state TEXT, memory_mib INTEGER, load REAL)")
    rows = size // 64
    hosts, loads = rng.integers(0, 500, rows).tolist(), rng.random(rows).tolist()
    columns = [(f"host-{host:04d}.example", _WORDS[host % len(_WORDS)], host * 64, load) for host, load in
               zip(hosts, loads, strict=True)]  # fmt: skip
    connection.executemany("INSERT INTO vm (host, state, memory_mib, load) VALUES (?, ?, ?, ?)", columns)
    for version in range(versions):
        if version:
            start = int(rng.integers(1, rows - changes))
            ids = np.arange(start, start + changes) if changes < 100 else rng.integers(1, rows, changes)
            updates = list(zip(rng.random(len(ids)).tolist(), ids.tolist(), strict=True))
            connection.executemany("UPDATE vm SET load = ? WHERE id = ?", updates)
        connection.commit()
        yield connection.serialize()[:size]
    connection.close()


def _encrypted_disk(rng: Generator, size: int, versions: int, churn: float) -> Iterator[bytes]:
    """Blocks of an encrypted volume: what does not change is found again, the rest is noise."""
    blocks = [rng.bytes(4096) for _ in range(size // 4096)]
    for version in range(versions):
        if version:
            for number in rng.choice(len(blocks), max(int(len(blocks) * churn), 1), replace=False).tolist():
                blocks[number] = rng.bytes(4096)
        yield b"".join(blocks)


def _log_lines(rng: Generator, size: int) -> str:
    """Log lines of a daemon, at least `size` characters of them."""
    count = size // 60 + 8
    picks = rng.integers(0, 1 << 30, (count, 6)).tolist()
    clock = 1_767_571_200_000
    lines = []
    for a, b, c, d, e, f in picks:
        clock += a % 700
        lines.append(
            f"{clock} {_LEVELS[b % 6]} dwcpd[{1000 + c % 9}] {_WORDS[d % len(_WORDS)]} {_WORDS[e % len(_WORDS)]} "
            f"vm-{f % 4096:04x} bytes={a ^ f} took={(b % 90000) / 1000:.3f}ms\n"
        )
    return "".join(lines)


def _telemetry(rng: Generator, size: int) -> bytes:
    """Metrics as JSON lines, encoded by the codec the product uses."""
    count = size // 90 + 1
    columns = np.round(rng.gamma(4.0, 25.0, (count, 4)), 3).tolist()
    rows = [
        {"node_id": f"node-{i % 64:03d}", "latency_ms": a, "cpu_usage": b, "io_mbps": c, "load": d}
        for i, (a, b, c, d) in enumerate(columns)
    ]
    return msgspec.json.Encoder().encode_lines(rows)


def _gather(paths: Iterable[Path], size: int, limit: int) -> list[bytes]:
    """Payloads of `size` bytes cut from the files, one after the other; unreadable ones are passed over."""
    payloads: list[bytes] = []
    rest = b""
    for path in paths:
        if len(payloads) >= limit:
            break
        try:
            with path.open("rb") as file:
                rest += file.read(size)
        except OSError:
            continue
        if len(rest) >= size:
            payloads.append(rest[:size])
            rest = rest[size:]
    return payloads


def _readable_logs() -> list[Path]:
    try:
        return sorted(p for p in Path("/var/log").glob("**/*.log") if p.is_file())
    except OSError:
        return []


def _upgraded(rng: Generator, data: bytes, donor: bytes, share: float) -> tuple[bytes, ...]:
    """A source as a release leaves it: stretches of lines replaced by others, and re-indented."""
    lines, other = data.splitlines(keepends=True), donor.splitlines(keepends=True)
    versions = [data]
    for _ in range(2):
        for _ in range(8):
            count = max(int(len(lines) * share / 8), 1)
            at = int(rng.integers(0, len(lines) - count))
            start = int(rng.integers(0, max(len(other) - count, 1)))
            lines = [*lines[:at], *(b"    " + line for line in other[start : start + count]), *lines[at + count :]]
        versions.append(b"".join(lines))
    return tuple(versions)


def _patched(rng: Generator, data: bytes, donor: bytes, share: float) -> tuple[bytes, ...]:
    """Pages of a file, some of them overwritten with pages of another."""
    pages, other = ([one[i : i + 4096] for i in range(0, len(one), 4096)] for one in (data, donor))
    versions = [data]
    for _ in range(2):
        for number in rng.choice(len(pages), max(int(len(pages) * share), 1), replace=False).tolist():
            pages[number] = other[int(rng.integers(0, len(other)))]
        versions.append(b"".join(pages))
    return tuple(versions)
