"""Data sets described and checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from offline.dataset.parquet import make_batch
from offline.dataset.quality import Column, Description, validate
from offline.dataset.schema import arrow_schema
from schemas.error import ConfigError
from schemas.topic import NETWORK_KEYED
from streams.cli import dwcp
from tests.online_models.stream import MINUTE_MS, START_MS, sample


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for part in range(2):
        rows = [sample(START_MS + MINUTE_MS * (10 * part + i), rate=100.0 + i) for i in range(10)]
        write(tmp_path / f"{part}.parquet", rows, [f"raw/0/{10 * part + i}" for i in range(10)])
    return tmp_path


def write(path: Path, rows: list[Any], origins: list[str], **columns: Any) -> None:
    schema = arrow_schema(NETWORK_KEYED)
    table = pa.Table.from_batches([make_batch(rows, origins, schema)])
    for name, values in columns.items():
        at = schema.get_field_index(name)
        table = table.set_column(at, schema.field(name), pa.array(values, schema.field(name).type))
    pq.write_table(table, path)


def run(*args: Any, code: int = 0) -> Any:
    result = CliRunner().invoke(dwcp, ["dataset", *map(str, args), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def failed(found: list[dict[str, Any]]) -> list[str]:
    return [one["check"] for one in found if not one["passed"]]


def test_a_data_set_is_described(folder: Path) -> None:
    found = run("describe", folder)
    assert (found["topic"], found["files"], found["rows"], found["repeated"]) == (NETWORK_KEYED.name, 2, 20, 0)
    assert (found["first_ms"], found["last_ms"]) == (START_MS, START_MS + 19 * MINUTE_MS)
    column = next(one for one in found["columns"] if one["column"] == "throughput_mbps")
    assert (column["unit"], column["least"], column["most"], column["missing"]) == ("Mbps (1e6 bit/s)", 100.0, 109.0, 0)
    assert failed(run("validate", folder)) == []


def test_what_is_wrong_is_named(folder: Path) -> None:
    rows = [sample(START_MS)] * 5
    write(folder / "bad.parquet", rows, [f"raw/0/{i}" for i in range(5)], packet_loss=[-0.5, 2.0, 0.0, 0.0, 0.0])
    assert failed(run("validate", folder, code=1)) == ["repeated origins", "range of packet_loss"]


@pytest.mark.parametrize(("allowed", "names"), [(0.2, ["missing entropy_estimate"]), (0.3, [])])
def test_missing_values_are_counted(tmp_path: Path, allowed: float, names: list[str]) -> None:
    column = Column("entropy_estimate", "double", "bit", missing=25)
    found = Description(str(tmp_path), rows=100, columns=[column])
    assert [one.check for one in validate(found, allowed) if not one.passed] == names


def test_a_folder_without_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a folder that has some"):
        run("describe", tmp_path)
