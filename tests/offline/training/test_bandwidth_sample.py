"""Samples of every kind of file are the same samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from offline.dataset.command import dataset
from offline.training.bandwidth_sample import Samples, read_samples
from schemas.error import ConfigError
from tests.offline.training.link_samples import make_records, table_of, write_csv, write_recording

RECORDS = make_records(20, 3)


def assert_same(found: Samples, expected: Samples) -> None:
    assert found.names == expected.names
    np.testing.assert_array_equal(found.link, expected.link)
    for name, column in expected.columns.items():
        np.testing.assert_array_equal(found.columns[name], column, err_msg=name)


def test_a_recording_gives_its_samples(tmp_path: Path) -> None:
    assert_same(read_samples([write_recording(tmp_path / "r.jsonl.zst", RECORDS)]), table_of(RECORDS))


def test_a_training_file_gives_its_samples(tmp_path: Path) -> None:
    assert_same(read_samples([write_csv(tmp_path / "r.csv", RECORDS)]), table_of(RECORDS))


def test_a_data_set_gives_its_samples(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="data sets are Parquet: the data extra is not installed")
    path = write_recording(tmp_path / "r.jsonl", RECORDS)
    args = [str(path), "--topic", "network.keyed", "--out", str(tmp_path / "r.parquet"), "--quiet"]
    assert CliRunner().invoke(dataset, args).exit_code == 0
    assert_same(read_samples([tmp_path / "r.parquet"]), table_of(RECORDS))


def test_files_add_up_and_repeats_are_left_out(tmp_path: Path) -> None:
    one = write_recording(tmp_path / "one.jsonl", RECORDS[:40])
    two = write_recording(tmp_path / "two.jsonl", RECORDS[30:])
    assert_same(read_samples([two, one]), table_of(RECORDS))


def test_order_does_not_matter() -> None:
    shuffled = [RECORDS[k] for k in np.random.default_rng(1).permutation(len(RECORDS))]
    assert_same(table_of(shuffled), table_of(RECORDS))
    assert (np.diff(table_of(shuffled).time_ms) >= 0).all()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.jsonl", "", "empty.jsonl"),
        ("other.csv", "time,speed\n2026-01-05T00:00:00Z,2\n", "without"),
        ("broken.parquet", "PAR1", "dwcp dataset"),
    ],
)
def test_what_has_no_samples_is_named(tmp_path: Path, name: str, content: str, says: str) -> None:
    pytest.importorskip("pyarrow", reason="data sets are Parquet: the data extra is not installed")
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=says):
        read_samples([tmp_path / name])
