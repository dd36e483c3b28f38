"""Files appear whole or not at all, and damage is named by its line."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
import zstandard

from schemas.error import ConfigError
from streams.recording.file import RecordingFile, read_recording
from streams.recording.format import Recorded, encode

RECORDS = [Recorded("t", i % 3, i // 3, 1000 + i, b"key-%d" % i, os.urandom(40)) for i in range(500)]
SUFFIXES = ("jsonl", "jsonl.gz", "jsonl.zst")


def write(path: Path, records: list[Recorded] = RECORDS) -> bytes:
    with RecordingFile(path) as file:
        for first in range(0, len(records), 100):
            file.write(records[first : first + 100])
    return path.read_bytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_and_bytes_repeat(tmp_path: Path, suffix: str) -> None:
    assert write(tmp_path / f"a.{suffix}") == write(tmp_path / f"b.{suffix}")
    assert list(read_recording(tmp_path / f"a.{suffix}")) == RECORDS


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_is_left_after_an_error_and_what_was_there_stays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    before = write(path)
    file = RecordingFile(path)
    file.write(RECORDS)
    with pytest.raises(RuntimeError), file:
        raise RuntimeError
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_a_file_has_no_name_before_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with RecordingFile(path) as file:
        file.write(RECORDS)
        assert not path.exists()
    assert path.exists()


def test_a_pipe_is_written_in_place(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with RecordingFile(pipe) as file:
        file.write(RECORDS[:3])
    assert os.read(reader, 1 << 16) == encode(RECORDS[:3])
    os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_a_file_that_ends_early_is_said_with_what_is_whole(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    data = write(path)
    path.write_bytes(data[: int(share * len(data))])
    got: list[Recorded] = []
    with pytest.raises(ConfigError, match=r"a\.jsonl\S*'? is not usable") as caught:
        got.extend(read_recording(path))
    assert got == RECORDS[: len(got)]
    if got:
        assert f":{len(got) + 1}'" in str(caught.value)
        assert f"--limit {len(got)}" in str(caught.value)
        assert list(read_recording(path, len(got))) == got


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = write(path).splitlines(keepends=True)
    lines[41] = b"x" + lines[41]
    path.write_bytes(b"".join(lines))
    with pytest.raises(ConfigError, match=r"a\.jsonl:42.*--limit 41"):
        list(read_recording(path))


@pytest.mark.parametrize("suffix", ["jsonl.gz", "jsonl.zst"])
def test_what_is_not_compressed_is_said(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(encode(RECORDS))
    with pytest.raises(ConfigError, match="readable recording"):
        list(read_recording(path))


def test_files_of_other_writers_are_read(tmp_path: Path) -> None:
    lines = encode(RECORDS)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines[:5000]) + gzip.compress(lines[5000:]))
    frames = [zstandard.ZstdCompressor().compress(part) for part in (lines[:9], b"", lines[9:])]
    (tmp_path / "b.jsonl.zst").write_bytes(b"".join(frames))
    for name in ("a.jsonl.gz", "b.jsonl.zst"):
        assert list(read_recording(tmp_path / name)) == RECORDS


@pytest.mark.parametrize("path", ["/nonexistent/file", "/"])
def test_a_file_that_cannot_be_made_is_named(path: str) -> None:
    with pytest.raises(ConfigError, match="--out"):
        RecordingFile(Path(path))
