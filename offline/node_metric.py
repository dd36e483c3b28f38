"""Nodes' metrics of recordings, as the batches that a worker's partitions get."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.batch import Batch
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.header import ORIGIN, origin_of
from schemas.system import METRICS, SystemMetrics
from schemas.topic import PARTITIONS, SYSTEM_KEYED, SYSTEM_RAW
from streams.partition import murmur2_partition
from streams.recording.file import read_recording
from streams.recording.format import Recorded
from streams.recording.run import run
from streams.recording.table import INGESTS
from streams.settings import Settings


def read_partitions(path: Path, option: str = "--recording") -> list[Batch]:
    """System metrics of a recording, one batch per partition of the keyed topic, in order of arrival.

    Keyed records are taken as they are, raw ones as ingest makes them.

    Parameters
    ----------
    path
        The recording; `.zst` and `.gz` are compressed.
    option
        Name of the option that gave it, for errors.

    Raises
    ------
    ConfigError
        When it cannot be read, or holds no system metrics.
    """
    settings = Settings.from_environment({})
    raw, keyed = settings.name_of(SYSTEM_RAW), settings.name_of(SYSTEM_KEYED)
    records = [record for record in read_recording(path) if record.topic in (raw, keyed) and record.value is not None]
    given: Sequence[Recorded] = [record for record in records if record.topic == keyed]
    if not given:
        given = run([INGESTS[SYSTEM_RAW]], records, settings).get(SYSTEM_KEYED, ())
    by_partition: dict[int, list[Recorded]] = defaultdict(list)
    for record in given:
        by_partition[murmur2_partition(record.key or b"", PARTITIONS)].append(record)
    batches = [_batch(partition, own) for partition, own in sorted(by_partition.items())]
    if not any(map(len, batches)):
        raise ConfigError(option, str(path), f"a recording of {SYSTEM_RAW.name} or {SYSTEM_KEYED.name}")
    return batches


def metric_matrix(batch: Batch) -> NDArray[np.float64]:
    """The watched metrics, `[n, metric]` in the order of `METRICS`."""
    return np.column_stack([batch.columns[name] for name in METRICS])


def _batch(partition: int, records: Sequence[Recorded]) -> Batch:
    codec = codec_of(SystemMetrics)
    decoded, rejected = codec.decode([record.value for record in records])
    bad = {one.row for one in rejected}
    kept = [record for at, record in enumerate(records) if at not in bad]
    origin = [dict(r.headers).get(ORIGIN) or origin_of(r.topic, r.partition, r.offset) for r in kept]
    offset = np.arange(len(kept), dtype=np.int64)
    return Batch(SYSTEM_KEYED, partition, codec.columns(decoded), [r.key for r in kept], offset, origin)
