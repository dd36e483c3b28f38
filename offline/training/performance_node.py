"""Nodes' metrics from recordings and Parquet data sets, one table per node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from offline.node_metric import metric_matrix, read_partitions
from schemas.error import ConfigError
from schemas.system import METRICS


class Node(NamedTuple):
    """One node's samples at increasing times: int64 `[n]`, and float64 `[n, metric]` in the order of `METRICS`."""

    name: str
    time_ms: NDArray[np.int64]
    values: NDArray[np.float64]


def read_nodes(paths: Sequence[Path]) -> list[Node]:
    """Every node of some files, in order of name; repeats of a moment are dropped.

    Raises
    ------
    ConfigError
        When a file cannot be read or holds no system metrics.
    """
    tables = [table for path in paths for table in (_parquet(path) if path.suffix == ".parquet" else _recording(path))]
    name = np.concatenate([table[0] for table in tables])
    time_ms = np.concatenate([table[1] for table in tables])
    values = np.concatenate([table[2] for table in tables])
    names, of = np.unique(name, return_inverse=True)
    nodes = []
    for k, one in enumerate(names.tolist()):
        at = np.flatnonzero(of == k)
        moments, first = np.unique(time_ms[at], return_index=True)
        nodes.append(Node(str(one), moments, values[at[first]]))
    return nodes


_Table = tuple[NDArray[np.str_], NDArray[np.int64], NDArray[np.float64]]


def _recording(path: Path) -> list[_Table]:
    return [
        (batch.columns["node_id"].astype(str), batch.columns["timestamp"].astype(np.int64), metric_matrix(batch))
        for batch in read_partitions(path, "--data")
        if len(batch)
    ]


def _parquet(path: Path) -> list[_Table]:
    try:
        table = pq.read_table(path, columns=["node_id", "timestamp", *METRICS])
    except (OSError, pa.ArrowException, KeyError) as exc:
        raise ConfigError("--data", str(path), f"a data set of system metrics ({exc})") from exc
    time_ms = table["timestamp"].cast(pa.int64()).to_numpy()
    values = np.column_stack([table[name].to_numpy() for name in METRICS]).astype(np.float64)
    return [(np.array(table["node_id"].to_pylist(), dtype=str), time_ms, values)]
