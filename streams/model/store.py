"""The model store: artifacts by the SHA-256 of their content, in a folder or an object store.

Where an artifact lies follows from its hash alone. So an announcement cannot name anything
outside the store, what is stored never changes, and whoever reads it checks that it is what was announced.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final, NamedTuple

import fsspec
from fsspec.implementations.local import LocalFileSystem

from schemas.error import ConfigError, InfraError, ModelRejected
from schemas.model import ModelAnnouncement

MAX_ARTIFACT_BYTES: Final = 256 << 20

EXTRA: Final = {"s3": "s3", "s3a": "s3"}
"""Schemes that an extra of this package brings the client of."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PARTIAL: Final = ".partial-"


class Stored(NamedTuple):
    """One artifact in the store."""

    sha256: str
    bytes: int


def path_of(digest: str) -> str:
    """Where an artifact lies within the store.

    >>> path_of("ab" * 32)[:12]
    'ab/ababababa'

    Raises
    ------
    ModelRejected
        When it is no SHA-256 in lower-case hex digits.
    """
    if not _DIGEST.fullmatch(digest):
        raise ModelRejected(f"{digest[:80]!r} is no SHA-256: an artifact is named by its content")
    return f"{digest[:2]}/{digest}"


class ModelStore:
    """Artifacts under a folder or URL.

    Parameters
    ----------
    url
        `models`, `/srv/models`, `s3://bucket/models`; checked by `Settings`.

    Raises
    ------
    ConfigError
        When its client is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url, **_options(url))
        except (ImportError, ValueError) as exc:
            extra = EXTRA.get(url.split("://")[0])
            hint = f"pip install 'dwcp-streams[{extra}]', or another store" if extra else "a folder, or an s3:// URL"
            raise ConfigError("DWCP_MODEL_STORE", url, f"{hint} ({exc})") from exc

    def put(self, content: bytes) -> Stored:
        """Store an artifact, whole or not at all; doing so twice changes nothing.

        Raises
        ------
        InfraError
            When the store cannot be written.
        """
        digest = sha256(content).hexdigest()
        path = self._path(digest)
        try:
            if not self._holds(path, len(content)):
                self._write(path, content)
        except OSError as exc:
            raise InfraError(f"cannot write to the model store {self.url}: {exc}") from exc
        return Stored(digest, len(content))

    def get(self, digest: str, size: int | None = None) -> bytes:
        """An artifact, with the content that its name says.

        Parameters
        ----------
        digest
            Its SHA-256.
        size
            Its size in bytes, where that was announced.

        Raises
        ------
        ModelRejected
            When it is not there, too large, or not what was announced.
        InfraError
            When the store cannot be read.
        """
        path = self._path(digest)
        try:
            found = int(self._fs.info(path)["size"])
            if found > MAX_ARTIFACT_BYTES or (size is not None and found != size):
                wanted = f"{size} were announced" if size is not None else f"at most {MAX_ARTIFACT_BYTES} are loaded"
                raise ModelRejected(f"artifact {digest[:12]} has {found} bytes, {wanted}", "size")
            content: bytes = self._fs.cat_file(path)
        except FileNotFoundError as exc:
            raise ModelRejected(f"artifact {digest[:12]} is not in {self.url}: put it back, or retire it") from exc
        except OSError as exc:
            raise InfraError(f"cannot read the model store {self.url}: {exc}") from exc
        if sha256(content).hexdigest() != digest:
            raise ModelRejected(f"artifact {digest[:12]} in {self.url} is damaged: its hash is another", "hash")
        return content

    def fetch(self, announcement: ModelAnnouncement) -> bytes:
        """The artifact of an announcement.

        Raises
        ------
        ModelRejected, InfraError
            As `get`; also when the announcement's path is not where its hash lies.
        """
        if announcement.artifact != path_of(announcement.artifact_sha256):
            raise ModelRejected(f"artifact {announcement.artifact[:80]!r} is not where its hash lies: it is not loaded")
        return self.get(announcement.artifact_sha256, announcement.artifact_bytes)

    def __iter__(self) -> Iterator[Stored]:
        """Every artifact, by hash; what an interrupted `put` left is left out."""
        try:
            found: dict[str, Any] = self._fs.find(self._root, detail=True)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise InfraError(f"cannot list the model store {self.url}: {exc}") from exc
        for path, info in sorted(found.items()):
            name = path.rsplit("/", 1)[-1]
            if _DIGEST.fullmatch(name):
                yield Stored(name, int(info["size"]))

    def _path(self, digest: str) -> str:
        return f"{self._root.rstrip('/')}/{path_of(digest)}"

    def _write(self, path: str, content: bytes) -> None:
        if not isinstance(self._fs, LocalFileSystem):
            self._fs.pipe_file(path, content)  # object stores write whole objects, and need no folders
            return
        partial = f"{path}{_PARTIAL}{uuid.uuid4().hex}"
        self._fs.makedirs(self._fs._parent(path), exist_ok=True)
        self._fs.pipe_file(partial, content)
        self._fs.mv(partial, path)

    def _holds(self, path: str, size: int) -> bool:
        try:
            return int(self._fs.info(path)["size"]) == size
        except FileNotFoundError:
            return False


def _options(url: str) -> dict[str, Any]:
    """Object stores are asked anew each time: another process may have written."""
    return {"use_listings_cache": False} if url.split("://")[0] in EXTRA else {}
