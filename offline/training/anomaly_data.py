"""Nodes' metrics to train forests on: as they are, or as deviations from each node's own baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offline.node_metric import metric_matrix, read_partitions
from online_models.anomaly.baseline import BASELINE, FLOOR, WARM_UP, learn_baseline, write_z
from online_models.anomaly.trained import INPUTS, REACH
from online_models.slot import row_dtype
from schemas.error import ConfigError
from schemas.system import METRICS

Form = Literal["deviations", "metrics"]
FORMS: Final[tuple[Form, ...]] = ("deviations", "metrics")

_NODE: Final = row_dtype(*BASELINE, ("clock", "i8"), ("count", "i8"))


class NodeRows(NamedTuple):
    """Records in order of time, those of a node's warm-up left out.

    Parameters
    ----------
    time_ms
        Event times, int64 `[n]`.
    node
        Whose, `[n]`.
    x
        Float32 `[n, metric]`, as the form says.
    z
        Deviations from the node's baseline before the record, float32 `[n, metric]`.
    """

    time_ms: NDArray[np.int64]
    node: NDArray[Any]
    x: NDArray[np.float32]
    z: NDArray[np.float32]


def feature_names(form: Form) -> list[str]:
    """Names of the columns of `NodeRows.x`."""
    return list(INPUTS if form == "deviations" else METRICS)


def read_rows(paths: Sequence[Path], form: Form) -> NodeRows:
    """Read recordings and Parquet data sets of nodes' metrics.

    Raises
    ------
    ConfigError
        When one cannot be read, or holds nothing usable.
    """
    parts = [part for path in paths for part in _read(path)]
    time_ms, node, x = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(time_ms, kind="stable")
    return node_rows(time_ms[order], node[order], x[order], form)


def node_rows(time_ms: NDArray[np.int64], node: NDArray[Any], x: NDArray[np.float64], form: Form) -> NodeRows:
    """Rows of records in order of time; repeats and a node's first records are left out.

    Parameters
    ----------
    time_ms, node, x
        When, whose, and the metrics `[n, metric]`.
    form
        What the rows hold.

    Raises
    ------
    ConfigError
        When no node has enough records.
    """
    names, code = np.unique(node.astype(str), return_inverse=True)
    z = np.zeros(x.shape)
    known = _deviate(np.zeros(len(names), _NODE), code, time_ms, x, z)
    if not known.any():
        allowed = f"nodes with more than {WARM_UP} records, which their baselines take"
        raise ConfigError("--data", f"{len(x)} records of {len(names)} nodes", allowed)
    z32 = np.clip(z[known], -REACH, REACH).astype(np.float32)
    return NodeRows(
        time_ms[known], names[code[known]], z32 if form == "deviations" else x[known].astype(np.float32), z32
    )


def _read(path: Path) -> list[tuple[NDArray[np.int64], NDArray[Any], NDArray[np.float64]]]:
    if path.suffix == ".parquet":
        return [_read_parquet(path)]
    batches = read_partitions(path, "--data")
    return [(b.columns["timestamp"], b.columns["node_id"], metric_matrix(b)) for b in batches]


def _read_parquet(path: Path) -> tuple[NDArray[np.int64], NDArray[Any], NDArray[np.float64]]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as exc:
        allowed = "readable with pyarrow: pip install 'dwcp-streams[data]'"
        raise ConfigError("--data", str(path), f"{allowed} ({exc})") from exc
    try:
        table = pq.read_table(path, columns=["timestamp", "node_id", *METRICS])
    except (OSError, pa.ArrowException) as exc:
        allowed = f"a data set of system.keyed, as `dwcp dataset --topic system.keyed` writes it ({exc})"
        raise ConfigError("--data", str(path), allowed) from exc
    time_ms = np.asarray(table["timestamp"].cast(pa.int64()), np.int64)
    node = np.asarray(table["node_id"].to_pylist(), object)
    return time_ms, node, np.column_stack([np.asarray(table[name], np.float64) for name in METRICS])


@njit(cache=True)
def _deviate(
    nodes: NDArray[Any], code: NDArray[Any], time_ms: NDArray[Any], x: NDArray[Any], z: NDArray[Any]
) -> NDArray[Any]:
    """Deviations as a worker has them; which rows have any."""
    known = np.zeros(len(code), np.bool_)
    for i in range(len(code)):
        node = nodes[code[i]]
        if node.count > 0 and time_ms[i] <= node.clock:
            continue
        if node.count >= WARM_UP:
            write_z(node, FLOOR, node.count, x[i], z[i])
            known[i] = True
        learn_baseline(node, FLOOR, node.count, float(time_ms[i] - node.clock), x[i])
        node.clock = time_ms[i]
        node.count += 1
    return known
