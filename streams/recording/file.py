"""Files of recordings: compressed by suffix, whole or not there at all, read line by line.

`.zst` and `.gz` are compressed; `-` is standard output. A file is written under
another name and renamed when it is whole, so that what has the name can be read.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, cast

import zstandard

from schemas.error import ConfigError, InfraError
from streams.recording.format import Recorded, decode, encode

STDOUT: Final = Path("-")
_READ_BYTES: Final = 1 << 16


class RecordingFile:
    """Writes a recording; a context manager that leaves nothing behind after an error.

    Parameters
    ----------
    path
        Where to; `-` is standard output, which is never compressed.
    option
        Name of the option that gave it, for errors.

    Raises
    ------
    ConfigError
        When the file cannot be created.
    InfraError
        When it cannot be written to the end.
    """

    def __init__(self, path: Path, option: str = "--out") -> None:
        self.path = path
        # A rename would replace a device or a pipe by a file.
        self._in_place = path == STDOUT or (path.exists() and not path.is_file())
        self._part = path if self._in_place else path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            self._file: IO[bytes] = sys.stdout.buffer if path == STDOUT else self._part.open("wb")
        except OSError as exc:
            raise ConfigError(option, str(path), f"a file that can be written ({exc.strerror})") from exc
        self._stream = _compressed(self._file, path)

    def write(self, records: Sequence[Recorded]) -> None:
        """Append records. Equal calls write equal bytes, compressed or not."""
        try:
            self._stream.write(encode(records))
        except BrokenPipeError:
            raise  # nobody reads on: the command line ends quietly
        except OSError as exc:
            raise InfraError(f"cannot write {self.path}: {exc.strerror}; nothing is kept of it") from exc

    def close(self) -> None:
        """Finish the file and give it its name."""
        try:
            if self._stream is not self._file:
                self._stream.close()
            self._file.flush()
            if self.path != STDOUT:
                self._file.close()
            if not self._in_place:
                self._part.replace(self.path)
        except BrokenPipeError:
            raise
        except OSError as exc:
            raise InfraError(f"cannot finish {self.path}: {exc.strerror}; nothing is kept of it") from exc

    def discard(self) -> None:
        """Remove what was written so far; a file that had the name before stays as it was."""
        if self.path == STDOUT:
            return
        with suppress(OSError):
            self._file.close()
        if not self._in_place:
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> RecordingFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


def read_recording(path: Path | str, limit: int | None = None) -> Iterator[Recorded]:
    """The records of a recording, in order.

    Parameters
    ----------
    path
        The file; `.zst` and `.gz` are compressed.
    limit
        How many to read at most; what follows is not looked at.

    Raises
    ------
    ConfigError
        When the file is not there, ends early, or a line of it is not a record; it names the line.
    """
    path = Path(path)
    number = 0
    try:
        with path.open("rb") as file, _decompressed(file, path) as lines:
            for number, text in enumerate(islice(lines, limit), 1):
                yield _record(path, number, text)
    except (OSError, EOFError, zstandard.ZstdError) as exc:
        where = f"{path}:{number + 1}" if number else str(path)
        raise ConfigError("recording", where, f"a readable recording ({exc}){_way_out(number)}") from exc


def _record(path: Path, number: int, text: bytes) -> Recorded:
    try:
        return decode(text)
    except ValueError as exc:
        allowed = f"a JSON line as kcat -J writes ({exc}){_way_out(number - 1)}"
        raise ConfigError("recording", f"{path}:{number}", allowed) from exc


def _way_out(whole: int) -> str:
    return f"; mend or record it again, or take the {whole} records before it with --limit {whole}" if whole else ""


def _compressed(file: IO[bytes], path: Path) -> IO[bytes]:
    """A writer by the file's suffix; without times or names inside, so that bytes repeat."""
    if path.suffix == ".zst":
        return cast(IO[bytes], zstandard.ZstdCompressor(level=3).stream_writer(file, closefd=False))
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=5, mtime=0))
    return file


def _decompressed(file: IO[bytes], path: Path) -> IO[bytes]:
    if path.suffix == ".zst":
        return io.BufferedReader(_Frames(file), 1 << 20)
    if path.suffix == ".gz":
        return cast(IO[bytes], gzip.GzipFile(fileobj=file))
    return file


class _Frames(io.RawIOBase):
    """The content of zstd frames; unlike zstandard's own reader it notices a file that ends early."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._compressed = self._content = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._content:
            if not self._compressed:
                self._compressed = self._file.read(_READ_BYTES)
            if not self._compressed:
                if not self._frame.eof:
                    raise EOFError("the file ends before its data does")
                return 0
            if self._frame.eof:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._content = self._frame.decompress(self._compressed)
            self._compressed = self._frame.unused_data if self._frame.eof else b""
        n = min(len(buffer), len(self._content))
        buffer[:n] = self._content[:n]
        self._content = self._content[n:]
        return n
