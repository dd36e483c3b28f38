"""The trained models of a worker: fetched from the store, verified, and kept by the hash of their artifact.

What does not verify stays off the shelf, whatever is wrong with it: states go on with the
model that they have. It is logged and counted once, by reason. A store that does not answer is
asked again. A candidate is fetched beside the stream, so that once it is for use nobody waits for it.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from threading import Lock, Thread
from time import perf_counter
from typing import Any, Final

import msgspec

from schemas.batch import Control
from schemas.error import DwcpError, FeatureMismatch, InfraError, ModelRejected, Refusal
from schemas.model import Manifest, ModelAnnouncement, ModelRejection
from schemas.topic import MODEL_REJECTION
from streams.agent import Load
from streams.inspected import Inspected, check_speed
from streams.metric import Metrics
from streams.model.signature import check_signature
from streams.model.store import ModelStore, path_of

_log = logging.getLogger(__name__)

_KIND: Final = "model"
_IN_USE: Final = ("champion", "challenger", "shadow")
_SOON: Final = "candidate"
_KEPT: Final = 16
"""Models kept; one that is asked again after it had to go is fetched again."""


class Shelf:
    """Verified models by hash.

    Parameters
    ----------
    store
        Where their bytes are.
    key
        What announcements are signed with; empty: signatures are not looked at.
    loaders
        What makes a model of an artifact, by the model's name.
    metrics
        What is counted.
    worker
        Who says in a rejection that it refused a model.
    """

    def __init__(
        self, store: ModelStore, key: str, loaders: Mapping[str, Load], metrics: Metrics, worker: str = ""
    ) -> None:
        self._store = store
        self._key = key
        self._loaders = loaders
        self._metrics = metrics
        self._worker = worker
        self._rejections: list[ModelRejection] = []
        self._models: dict[str, Any] = {}
        self._refused: set[str] = set()
        self._unread: dict[str, tuple[Callable[[], bytes], Load]] = {}
        self._lock = Lock()
        self._locks: defaultdict[str, Lock] = defaultdict(Lock)
        self._used: dict[str, float] = {}
        self._ahead: set[str] = set()

    def get(self, sha256: str) -> Any | None:
        """The model of this hash, if it is here."""
        model = self._models.get(sha256)
        if model is not None:
            self._used[sha256] = perf_counter()
        return model

    def admits(self, announcement: ModelAnnouncement) -> bool:
        """Whether an announcement may take effect: signed as it must be, and about what is here if it is for use."""
        try:
            check_signature(announcement, self._key)
            path = path_of(announcement.artifact_sha256)
        except ModelRejected:
            return False
        here = announcement.artifact == path and announcement.artifact_sha256 in self._models
        return here or announcement.held or announcement.stage not in _IN_USE

    def take(self, control: Control) -> None:
        """Fetch what a control announces for use; others, and what nobody here asks, are passed over."""
        if control.kind != _KIND:
            return
        try:
            said = msgspec.json.decode(control.body, type=ModelAnnouncement)
        except msgspec.DecodeError as exc:
            _log.error("an announcement does not decode: %s", exc)
            return
        if said.model_name not in self._loaders or said.held:
            return
        if said.stage == _SOON and said.artifact_sha256 not in self._ahead | self._models.keys():
            self._ahead.add(said.artifact_sha256)  # every partition says so
            Thread(target=self._fetch_ahead, args=(said,), daemon=True).start()
        if said.stage not in _IN_USE:
            return
        if (known := self._models.get(said.artifact_sha256)) is not None:
            known.begin()
        refused = self._fetch(said.artifact_sha256, partial(self._announced, said), self._loaders[said.model_name])
        if refused is not None and not isinstance(refused, InfraError):
            about = (said.model_name, said.model_version, said.artifact_sha256)
            self._rejections.append(self._rejection(*about, refused))

    def _serves_badly(self, sha256: str, manifest: Manifest, error: ModelRejected) -> None:
        """Say that a model in use should not be: the sidecar takes it back, at one place of each log."""
        self._metrics.model_rejections.labels(type(error).__name__).inc()
        _log.error("model %s %s: %s", manifest.model_name, manifest.model_version, error)
        self._rejections.append(self._rejection(manifest.model_name, manifest.model_version, sha256, error))

    def take_rejections(self) -> list[ModelRejection]:
        """What was refused since the last call, to be published."""
        taken, self._rejections = self._rejections, []
        return taken

    def _rejection(self, name: str, version: str, sha256: str, error: DwcpError) -> ModelRejection:
        at = time.time_ns() // 1_000_000
        own = f"{name}:{version}/{sha256[:12]}/{self._worker}:{MODEL_REJECTION.kind}"
        reason: Refusal = error.reason if isinstance(error, ModelRejected | FeatureMismatch) else "format"
        return ModelRejection(own, at, name, version, sha256, reason, str(error), self._worker)

    def fetch(self, sha256: str) -> None:
        """Fetch and verify an artifact that a restored state asks, unless it is here or was refused before."""
        self._fetch(sha256, partial(self._store.get, sha256), self._load)

    def retry(self) -> None:
        """Ask again for what the store did not give because it did not answer."""
        unread, self._unread = self._unread, {}
        for sha256, (read, load) in unread.items():
            self._fetch(sha256, read, load)

    def _announced(self, said: ModelAnnouncement) -> bytes:
        check_signature(said, self._key)
        return self._store.fetch(said)

    def _fetch_ahead(self, said: ModelAnnouncement) -> None:
        """Put a candidate on the shelf; what is wrong with it is said when it is for use."""
        sha256 = said.artifact_sha256
        with suppress(DwcpError), self._locks[sha256]:
            if sha256 not in self._models and sha256 not in self._refused:
                self._keep(sha256, self._loaders[said.model_name](self._announced(said)))
        self._ahead.discard(sha256)

    def _fetch(self, sha256: str, read: Callable[[], bytes], load: Load) -> DwcpError | None:
        """Put a model on the shelf; why it is refused, if it is so now."""
        with self._locks[sha256]:  # partitions ask for the same one at the same moment
            if sha256 in self._models or sha256 in self._refused:
                return None
            started = perf_counter()
            content = None
            try:
                content = read()
                self._keep(sha256, load(content))
            except DwcpError as exc:
                self._refuse(sha256, exc)
                if isinstance(exc, InfraError):
                    self._unread[sha256] = (read, load)
                elif content is not None:  # the announcement may be wrong about an artifact that is good
                    self._refused.add(sha256)
                return exc
        elapsed = perf_counter() - started
        self._metrics.model_load_seconds.observe(elapsed)
        said = self._models[sha256].manifest
        _log.info("model %s %s is here after %.0f ms", said.model_name, said.model_version, 1000 * elapsed)
        return None

    def _keep(self, sha256: str, model: Any) -> None:
        """Put a model on the shelf; the one that was not asked for longest makes room."""
        check_speed(model)
        answers = self._metrics.model_answer_seconds.labels(model.manifest.model_name)
        with self._lock:
            self._models[sha256] = Inspected(model, partial(self._serves_badly, sha256), answers.observe)
            self._used[sha256] = perf_counter()
            while len(self._models) > _KEPT:
                oldest = min(self._models, key=lambda one: self._used.get(one, 0.0))
                del self._models[oldest]

    def _load(self, content: bytes) -> Any:
        """What the first agent that can makes of it: a restored state knows the hash alone."""
        refused: DwcpError = ModelRejected("no agent here asks models")
        for load in self._loaders.values():
            try:
                return load(content)
            except DwcpError as exc:
                refused = exc
        raise refused

    def _refuse(self, sha256: str, error: DwcpError) -> None:
        self._metrics.model_rejections.labels(type(error).__name__).inc()
        _log.error("model %.12s is refused, and replaces nothing: %s", sha256, error)
