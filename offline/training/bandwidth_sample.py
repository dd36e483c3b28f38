"""Network samples of data sets, recordings and CSV files, as one table in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.batch import Columns, object_column
from schemas.codec import codec_of
from schemas.error import ConfigError
from schemas.key import keys_of
from schemas.network import NetworkSample
from schemas.topic import NETWORK_KEYED, NETWORK_RAW
from streams.recording.file import read_recording
from streams.recording.format import Recorded
from streams.recording.run import run
from streams.recording.table import INGESTS, Choice, read_table
from streams.settings import Settings

_FIELDS: Final = NetworkSample.__struct_fields__


@dataclass(frozen=True, slots=True)
class Samples:
    """Samples in order of time, one per link and moment.

    Parameters
    ----------
    columns
        The fields of `NetworkSample`, each `[n]`.
    link
        Number of each sample's link, int64 `[n]`, from 0.
    names
        The links' keys, by number.
    """

    columns: Columns
    link: NDArray[np.int64]
    names: list[str]

    def __len__(self) -> int:
        return len(self.link)

    @property
    def time_ms(self) -> NDArray[np.int64]:
        """Event times, `[n]`."""
        return self.columns["timestamp"]


def read_samples(paths: Sequence[Path]) -> Samples:
    """Read the samples of files, by their suffix: `.parquet`, `.csv`, else a recording.

    Of a recording the keyed samples are taken or, where it has none, the raw ones as ingest
    makes them. Of repeated samples the first is kept.

    Raises
    ------
    ConfigError
        When a file cannot be read or has no usable sample.
    """
    return order_samples([_read(path) for path in paths])


def order_samples(parts: Sequence[Columns]) -> Samples:
    """One table of several, by time; what a link repeats is left out."""
    columns = {name: np.concatenate([part[name] for part in parts]) for name in _FIELDS}
    keys = keys_of(columns["node_id"].tolist(), columns["peer_id"].tolist())
    names, link = np.unique(np.array(keys, object), return_inverse=True)
    time_ms = columns["timestamp"] = np.ascontiguousarray(columns["timestamp"], np.int64)
    order = np.lexsort((link, time_ms))  # stable: the first of equals stays first
    repeated = (np.diff(time_ms[order]) == 0) & (np.diff(link[order]) == 0)
    order = order[np.concatenate(([True], ~repeated))]
    columns = {name: column[order] for name, column in columns.items()}
    return Samples(columns, link[order].astype(np.int64), [name.decode() for name in names])


def _read(path: Path) -> Columns:
    if path.suffix == ".parquet":
        return _read_parquet(path)
    settings = Settings.from_environment({})
    raw = settings.name_of(NETWORK_RAW)
    if path.suffix == ".csv":
        table = read_table(path, Choice(NETWORK_RAW), raw)
        keyed = _ingest(table.records, settings)
    else:
        ours = {raw, settings.name_of(NETWORK_KEYED)}
        records = [record for record in read_recording(path) if record.topic in ours]
        keyed = [record for record in records if record.topic != raw] or _ingest(records, settings)
    columns = _decode(keyed)
    if columns is None:
        raise ConfigError("--data", str(path), "a file with network samples: a recording, data set or training CSV")
    return columns


def _ingest(records: Sequence[Recorded], settings: Settings) -> Sequence[Recorded]:
    return run([INGESTS[NETWORK_RAW]], records, settings).get(NETWORK_KEYED, ())


def _decode(records: Sequence[Recorded]) -> Columns | None:
    codec = codec_of(NetworkSample)
    samples, _ = codec.decode([record.value for record in records])
    return codec.columns(samples) if samples else None


def _read_parquet(path: Path) -> Columns:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        allowed = "readable with pyarrow: pip install 'dwcp-streams[data]'"
        raise ConfigError("--data", str(path), f"{allowed} ({exc})") from exc
    try:
        table = pq.read_table(path, columns=list(_FIELDS))
    except (OSError, pa.ArrowException) as exc:
        allowed = f"a data set of network.keyed, as `dwcp dataset --topic network.keyed` writes it ({exc})"
        raise ConfigError("--data", str(path), allowed) from exc
    if not len(table):
        raise ConfigError("--data", str(path), "a data set with at least one row")
    return dict(_columns(table))


def _columns(table: object) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """Each column as the codec would give it."""
    for name in _FIELDS:
        values = table[name]  # type: ignore[index]
        if name == "timestamp":
            yield name, values.to_numpy().astype("datetime64[ms]").astype(np.int64)
        elif values.type in ("string", "large_string"):
            yield name, object_column(values.to_pylist())
        else:
            yield name, values.to_numpy()
