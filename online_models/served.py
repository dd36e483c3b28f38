"""Which trained models a state asks, by role: arrays say which, a shelf has the models themselves.

An announced model arrives as a control, so it takes over at one place of the partition, in
every replay. A model that is not on the shelf, because it did not verify, replaces nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from online_models.slot import row_dtype
from schemas.batch import Control
from schemas.model import Manifest, ModelAnnouncement

KIND: Final = "model"
"""Of the controls that announce models."""

ROLES: Final = ("champion", "challenger", "shadow")
"""The champion decides; a challenger decides for its arm of an experiment; a shadow is only scored."""

LENIENCE_MS: Final = 300_000
"""How much older than the newest an announcement may be: two who announce may have different clocks."""

_SLOT: Final = row_dtype(("version", "S128"), ("sha256", "S64"))


class Model(Protocol):
    """What answers; see `online_models.onnx_model.OnnxModel`."""

    @property
    def manifest(self) -> Manifest:
        """What it says of itself."""
        ...

    def predict(self, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Every output by name for float32 rows."""
        ...


class Shelf(Protocol):
    """The models that verified here, by the hash of their artifact; see `streams.shelf.Shelf`."""

    def get(self, sha256: str, /) -> Model | None:
        """The model, if it is there."""
        ...

    def admits(self, announcement: ModelAnnouncement, /) -> bool:
        """Whether an announcement may take effect."""
        ...


class Served:
    """The models of one name that a state asks.

    Parameters
    ----------
    name
        Of the announcements that concern it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.memory = np.zeros(len(ROLES), _SLOT)
        self.refused = np.zeros(1, np.int64)
        self.newest_ms = np.zeros(1, np.int64)
        self._shelf: Shelf = _EMPTY
        self.rebuild()

    def rebuild(self) -> None:
        """Read who has which role from the memory, after that was set: a step asks several times."""
        version, sha256 = self.memory["version"].tolist(), self.memory["sha256"].tolist()
        self._version: dict[str, str] = {role: one.decode() for role, one in zip(ROLES, version, strict=True)}
        self._sha256: dict[str, str] = {role: one.decode() for role, one in zip(ROLES, sha256, strict=True)}

    @property
    def shared(self) -> dict[str, NDArray[Any]]:
        """Arrays for the state that it belongs to."""
        return {
            f"served_{self.name}": self.memory,
            f"refused_{self.name}": self.refused,
            f"announced_{self.name}": self.newest_ms,
        }

    def use(self, shelf: Shelf) -> None:
        """Take models from this shelf from now on."""
        self._shelf = shelf

    def wanted(self) -> list[str]:
        """Hashes of the models in use."""
        return [sha for sha in self._sha256.values() if sha]

    def get(self, role: str) -> Model | None:
        """The model in a role; None when there is none, or when it is not on this worker's shelf."""
        sha = self._sha256[role]
        return self._shelf.get(sha) if sha else None

    def version(self, role: str) -> str:
        """Version of the model in a role; empty when there is none."""
        return self._version[role]

    def control(self, control: Control) -> bool:
        """Take an announcement in; whether it concerns this name.

        Raises
        ------
        msgspec.DecodeError
            When it is not an announcement.
        """
        if control.kind != KIND:
            return False
        said = msgspec.json.decode(control.body, type=ModelAnnouncement)
        if said.model_name != self.name:
            return False
        # One that is sent again long after is somebody's attempt to turn the clock back, signed or not.
        if said.timestamp < self.newest_ms[0] - LENIENCE_MS or not self._shelf.admits(said):
            self.refused += 1
            return True
        self.newest_ms[0] = max(self.newest_ms[0], said.timestamp)
        stage = None if said.held else said.stage
        version = said.model_version.encode()
        self._set(self.memory["version"] == version, b"", b"")
        if stage in ROLES:
            self._set(ROLES.index(stage), version, said.artifact_sha256.encode())
        self.rebuild()
        return True

    def _set(self, at: Any, version: bytes, sha256: bytes) -> None:
        self.memory["version"][at] = version
        self.memory["sha256"][at] = sha256


class _Empty:
    def get(self, sha256: str, /) -> Model | None:
        return None

    def admits(self, announcement: ModelAnnouncement, /) -> bool:
        return False


_EMPTY: Final = _Empty()


def gauges(served: Served) -> Mapping[str, tuple[float, float | None]]:
    """How many partitions have a model in each role, and how many announcements were refused."""
    found: dict[str, tuple[float, float | None]] = {
        f"{served.name}_{role}": (float(bool(served.version(role))), None) for role in ROLES
    }
    return found | {f"{served.name}_refused": (float(served.refused[0]), None)}
