"""What a sidecar knows, written whole or not at all: how far it read, and what it made of that.

Offsets, digests of what was kept lately, and the state of the life cycle are one file, replaced at
once. So after a crash all of them are of the same moment, and nothing is lost or counted twice.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from schemas.error import InfraError, StateError

FILE: Final = "checkpoint.msgpack"


class Checkpoint(Struct, frozen=True, kw_only=True):
    """One moment of a sidecar.

    Parameters
    ----------
    number
        Counts the moments; data files with a greater number are of none and are removed.
    offsets
        The next offset to read, by topic name and partition.
    recent
        Digests of the latest records, by topic name.
    trained
        When each model was trained last, and whether by plan or not, ms since the epoch.
    asked
        Trainings that drift asked for and that are still to come: model and reason.
    asked_at
        Event time of the alert that asked, ms since the epoch, by model.
    refreshed_ms
        When capacity was forecast last.
    keeper
        State of the life cycle.
    forecasts
        State of the comparison of forecasters.
    counted
        What was counted since the beginning, by name.
    """

    number: int = 0
    offsets: dict[str, dict[int, int]] = {}
    recent: dict[str, bytes] = {}
    trained: dict[str, int] = {}
    asked: dict[str, str] = {}
    asked_at: dict[str, int] = {}
    refreshed_ms: int = 0
    keeper: bytes = b""
    forecasts: bytes = b""
    counted: dict[str, int] = {}


def read_checkpoint(folder: Path) -> Checkpoint:
    """The last moment; that of the beginning where there is none.

    Raises
    ------
    StateError
        When the file is damaged.
    InfraError
        When it cannot be read.
    """
    path = folder / FILE
    try:
        return msgspec.msgpack.decode(path.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        return Checkpoint()
    except msgspec.DecodeError as exc:
        raise StateError("damaged", f"{path} does not decode ({exc}): restore it, or begin in another folder") from exc
    except OSError as exc:
        raise InfraError(f"cannot read {path}: {exc.strerror}") from exc


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> None:
    """Replace the last moment by this one; it is on the disk when this returns.

    Raises
    ------
    InfraError
        When it cannot be written; the last one stays.
    """
    partial = folder / f".{FILE}.part"
    try:
        with partial.open("wb") as file:
            file.write(msgspec.msgpack.encode(checkpoint))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(folder / FILE)
    except OSError as exc:
        raise InfraError(f"cannot write {folder / FILE}: {exc.strerror}") from exc
