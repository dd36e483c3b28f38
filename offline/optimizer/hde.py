"""HDE measured: real payloads through block delta and zstd, at every level, chunk and window.

A context is a mix of payloads on a link: what matters is the time from the first byte read to the
last one received. Processor time is taken per thread, so a busy machine changes it little.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from offline.optimizer.grid import Grid
from offline.simulator.payload import PayloadSeries, generated

F64 = NDArray[np.float64]

LEVELS: Final = np.arange(1.0, 10.0)
CHUNKS: Final = np.array([1, 2, 4, 8, 16, 32, 64]) * 1024.0
WINDOWS: Final = np.array([32, 64, 128, 256, 512, 1024]) * 1024.0

SIZE_BYTES: Final = 1 << 20
CORES: Final = 8
MEMORY_MIB: Final = 512.0
"""What a node gives to transfers."""

CONTEXTS: Final = 60
SEED: Final = 5
PAYLOADS: Final = 11
"""Seeds of mixes and of payloads."""

_MISS: Final = 0xFFFFFFFF


def encode(payload: bytes, previous: bytes, level: int, chunk_bytes: int, window_bytes: int) -> bytes:
    """Chunks that the previous version holds are sent as numbers, the others are compressed.

    zstd looks back `window_bytes` over the chunks sent and that much of the previous version's end.
    """
    known = {blake2b(chunk, digest_size=16).digest(): n for n, chunk in enumerate(_cut(previous, chunk_bytes))}
    numbers, misses = [], []
    for chunk in _cut(payload, chunk_bytes):
        number = known.get(blake2b(chunk, digest_size=16).digest(), _MISS)
        numbers.append(number)
        if number == _MISS:
            misses.append(chunk)
    table = zstandard.compress(struct.pack(f"<{len(numbers)}I", *numbers), 1)
    body = _compressor(previous, level, window_bytes).compress(b"".join(misses))
    return struct.pack("<II", len(numbers), len(table)) + table + body


def decode(data: bytes, previous: bytes, chunk_bytes: int, window_bytes: int) -> bytes:
    """What was encoded."""
    count, table_bytes = struct.unpack_from("<II", data)
    numbers = struct.unpack(f"<{count}I", zstandard.decompress(data[8 : 8 + table_bytes]))
    dictionary = _dictionary(previous, window_bytes)
    misses = zstandard.ZstdDecompressor(dict_data=dictionary).decompress(data[8 + table_bytes :])
    known, parts, at = _cut(previous, chunk_bytes), [], 0
    for number in numbers:
        if number == _MISS:
            parts.append(misses[at : at + chunk_bytes])
            at += chunk_bytes
        else:
            parts.append(known[number])
    return b"".join(parts)


def measure(say: Callable[[str], None], size_bytes: int = SIZE_BYTES, seed: int = PAYLOADS) -> tuple[list[str], F64]:
    """Bytes sent per byte and processor ms per MiB: names, and `[payload, level, chunk, window, 2]`.

    Each payload is measured against its previous version, and every other also without one.
    """
    series = generated(seed, size_bytes, 2)
    cases = [(f"{one.name}", one, True) for one in series if len(one.versions) > 1]
    cases += [(f"{one.name}, first", one, False) for one in series[::2]]
    found = np.empty((len(cases), len(LEVELS), len(CHUNKS), len(WINDOWS), 2))
    for k, (name, one, with_baseline) in enumerate(cases):
        say(f"hde: {name} ({k + 1} of {len(cases)})")
        found[k] = _measure_one(one, with_baseline)
    return [name for name, _, _ in cases], found


def build(say: Callable[[str], None], size_bytes: int = SIZE_BYTES, contexts: int = CONTEXTS, seed: int = SEED) -> Grid:
    """The grid: mixes of measured payloads on links of 5 Mbps to 2 Gbps."""
    names, measured = measure(say, size_bytes, PAYLOADS + seed - SEED)
    source = f"{len(names)} payloads of {size_bytes} bytes, zstandard {zstandard.__version__}, mixes of seed {seed}"
    return mix(measured, source, contexts, seed)


def mix(measured: F64, source: str, contexts: int = CONTEXTS, seed: int = SEED) -> Grid:
    """The grid of what `measure` found."""
    rng = np.random.default_rng(seed)
    parts = rng.dirichlet(np.full(len(measured), 0.2), contexts)
    bandwidth = np.exp(rng.uniform(np.log(5), np.log(2000), contexts))
    parallel = rng.integers(2, 9, contexts)
    share = np.tensordot(parts, measured[..., 0], axes=1)
    cpu_ms = np.tensordot(parts, measured[..., 1], axes=1)
    send_ms = share * 8.388608 / bandwidth[:, None, None, None] * 1000.0
    total_ms = cpu_ms + send_ms
    busy = 100.0 * parallel[:, None, None, None] * cpu_ms / total_ms / CORES
    context_mib = np.array(
        [[_memory_mib(level, chunk, window) for window in WINDOWS] for level in LEVELS for chunk in CHUNKS]
    )
    memory = context_mib.reshape(1, len(LEVELS), len(CHUNKS), len(WINDOWS)) * parallel[:, None, None, None] * 4
    # A core-hour costs as much as some 20 GB of traffic between regions.
    cost = share + cpu_ms / 1000.0 / 3600.0 * 20_000.0
    log = np.log(np.stack([1000.0 / total_ms, cost, 15.0 + busy, 30.0 + 100.0 * memory / MEMORY_MIB], axis=-1))
    start = share[:, 4, 4, 4]
    features = np.stack([np.log(bandwidth), np.log(start), np.log(cpu_ms[:, 4, 4, 4])], axis=1)
    known = ("log_bandwidth_mbps", "log_sent_share", "log_cpu_ms_per_mib")
    return Grid("hde", (LEVELS, CHUNKS, WINDOWS), features, known, log, source)


def _measure_one(one: PayloadSeries, with_baseline: bool) -> F64:
    payload = one.versions[1] if len(one.versions) > 1 else one.versions[0]
    previous = one.versions[0] if with_baseline else b""
    mib = len(payload) / (1 << 20)
    found = np.empty((len(LEVELS), len(CHUNKS), len(WINDOWS), 2))
    for i, level in enumerate(LEVELS):
        for j, chunk in enumerate(CHUNKS):
            for k, window in enumerate(WINDOWS):
                took = []
                for _ in range(2):
                    begun = time.thread_time()
                    data = encode(payload, previous, int(level), int(chunk), int(window))
                    took.append(time.thread_time() - begun)
                found[i, j, k] = len(data) / len(payload), 1000.0 * min(took) / mib
    return found


def _cut(payload: bytes, size: int) -> list[bytes]:
    return [payload[i : i + size] for i in range(0, len(payload), size)]


def _dictionary(previous: bytes, window_bytes: int) -> zstandard.ZstdCompressionDict | None:
    if not previous:
        return None
    return zstandard.ZstdCompressionDict(previous[-window_bytes:], dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def _compressor(previous: bytes, level: int, window_bytes: int) -> zstandard.ZstdCompressor:
    parameters = _parameters(level, window_bytes)
    return zstandard.ZstdCompressor(dict_data=_dictionary(previous, window_bytes), compression_params=parameters)


def _parameters(level: int, window_bytes: float) -> zstandard.ZstdCompressionParameters:
    return zstandard.ZstdCompressionParameters.from_level(level, window_log=int(np.log2(window_bytes)))


def _memory_mib(level: float, chunk: float, window: float) -> float:
    """Zstd's own estimate, the dictionary, and 100 bytes per known chunk of a 64 MiB baseline."""
    context = _parameters(int(level), window).estimated_compression_context_size()
    return float(context + window + 100 * (64 << 20) / chunk) / (1 << 20)
