"""Nodes' metrics and links' samples of recordings, as the batches that a worker's partitions get."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.batch import Batch
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.header import ORIGIN, origin_of
from schemas.system import METRICS
from schemas.topic import NETWORK_KEYED, NETWORK_RAW, PARTITIONS, SYSTEM_KEYED, SYSTEM_RAW, Topic
from streams.partition import murmur2_partition
from streams.recording.file import read_recording
from streams.recording.format import Recorded
from streams.recording.run import run
from streams.recording.table import INGESTS
from streams.settings import Settings

NODES: Final = (SYSTEM_RAW, SYSTEM_KEYED)
LINKS: Final = (NETWORK_RAW, NETWORK_KEYED)


def read_partitions(path: Path, option: str = "--recording", topics: tuple[Topic, Topic] = NODES) -> list[Batch]:
    """Records of a recording, one batch per partition of the keyed topic, in order of arrival.

    Keyed records are taken as they are, raw ones as ingest makes them.

    Parameters
    ----------
    path
        The recording; `.zst` and `.gz` are compressed.
    option
        Name of the option that gave it, for errors.
    topics
        The raw topic and the keyed one: `NODES` or `LINKS`.

    Raises
    ------
    ConfigError
        When it cannot be read, or holds none of them.
    """
    settings = Settings.from_environment({})
    raw, keyed = map(settings.name_of, topics)
    records = [record for record in read_recording(path) if record.topic in (raw, keyed) and record.value is not None]
    given: Sequence[Recorded] = [record for record in records if record.topic == keyed]
    if not given:
        given = run([INGESTS[topics[0]]], records, settings).get(topics[1], ())
    by_partition: dict[int, list[Recorded]] = defaultdict(list)
    for record in given:
        by_partition[murmur2_partition(record.key or b"", PARTITIONS)].append(record)
    batches = [_batch(topics[1], partition, own) for partition, own in sorted(by_partition.items())]
    if not any(map(len, batches)):
        raise ConfigError(option, str(path), f"a recording of {topics[0].name} or {topics[1].name}")
    return batches


def metric_matrix(batch: Batch) -> NDArray[np.float64]:
    """The watched metrics, `[n, metric]` in the order of `METRICS`."""
    return np.column_stack([batch.columns[name] for name in METRICS])


def _batch(topic: Topic, partition: int, records: Sequence[Recorded]) -> Batch:
    assert topic.record is not None
    codec = codec_of(topic.record)
    decoded, rejected = codec.decode([record.value for record in records])
    bad = {one.row for one in rejected}
    kept = [record for at, record in enumerate(records) if at not in bad]
    origin = [dict(r.headers).get(ORIGIN) or origin_of(r.topic, r.partition, r.offset) for r in kept]
    offset = np.arange(len(kept), dtype=np.int64)
    return Batch(topic, partition, codec.columns(decoded), [r.key for r in kept], offset, origin)
