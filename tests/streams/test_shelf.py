"""What a worker takes of what is announced: only what is in the store, signed, whole and proven."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from offline.training.artifact import seal
from online_models.onnx_model import OnnxModel
from online_models.served import KIND, Served
from schemas.batch import Control
from schemas.model import ModelAnnouncement
from streams.metric import Metrics
from streams.model.signature import sign
from streams.model.store import ModelStore, path_of
from streams.shelf import Shelf
from tests.online_models.test_onnx_model import FEATURES, GOLDEN, linear, manifest
from tests.online_models.test_served import announcement

ARTIFACT = seal(linear([2.0, 3.0], "Identity"), manifest(model_name="selector"), GOLDEN)
LOADERS = {"selector": partial(OnnxModel, features=FEATURES)}


class Bench:
    """A store, a shelf, and a state that asks it."""

    def __init__(self, directory: Path, key: str = "") -> None:
        self.directory = directory
        self.store = ModelStore(str(directory / "models"))
        self.metrics = Metrics()
        self.shelf = Shelf(self.store, key, LOADERS, self.metrics)
        self.served = Served("selector")
        self.served.use(self.shelf)

    def put(self, content: bytes = ARTIFACT, **changes: Any) -> ModelAnnouncement:
        stored = self.store.put(content)
        said = {"artifact": path_of(stored.sha256), "artifact_bytes": stored.bytes} | changes
        return announcement("v1", stored.sha256, said.pop("stage", "champion"), **said)

    def announce(self, said: ModelAnnouncement) -> None:
        control = Control(KIND, msgspec.json.encode(said), b"a/0/0", 0, 0)
        self.shelf.take(control)
        self.served.control(control)

    def rejections(self, reason: str) -> float:
        return self.metrics.registry.get_sample_value("dwcp_model_rejections_total", {"reason": reason}) or 0.0


def test_an_announced_model_answers(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.announce(bench.put())
    model = bench.served.get("champion")
    assert model is not None
    assert model.predict(np.ones((1, 2)))["score"].tolist() == [[5.0]]


@pytest.mark.parametrize(
    "changes", [{"artifact": "../../etc/passwd"}, {"artifact_sha256": "c" * 64, "artifact": path_of("c" * 64)}]
)
def test_what_is_not_what_was_announced_replaces_nothing(tmp_path: Path, changes: dict) -> None:
    bench = Bench(tmp_path)
    good = bench.put()
    bench.announce(good)
    bench.announce(msgspec.structs.replace(good, model_version="v2", **changes))
    assert bench.served.version("champion") == "v1"


@pytest.mark.parametrize("changes", [{"artifact": "../../etc/passwd"}, {"artifact_bytes": 7}])
def test_an_artifact_is_read_from_its_place_alone(tmp_path: Path, changes: dict) -> None:
    bench = Bench(tmp_path)
    bench.announce(bench.put(**changes))
    assert bench.served.get("champion") is None
    assert bench.rejections("ModelRejected") == 1.0


def test_damaged_bytes_are_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    said = bench.put()
    path = tmp_path / "models" / path_of(said.artifact_sha256)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    bench.announce(said)
    bench.announce(said)
    assert bench.served.get("champion") is None
    assert {one.reason for one in bench.shelf.take_rejections()} == {"hash"}


def test_other_features_are_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    other = manifest(model_name="selector", feature_names=["one", "two"])
    bench.announce(bench.put(seal(linear([2.0, 3.0], "Identity"), other, GOLDEN)))
    assert bench.rejections("FeatureMismatch") == 1.0
    (said,) = bench.shelf.take_rejections()
    assert (said.model_version, said.reason) == ("v1", "features")
    assert "ours is 'bandwidth'" in said.message
    assert bench.shelf.take_rejections() == []


@pytest.mark.parametrize(("signed_with", "taken"), [("", False), ("another key, long enough", False), ("k" * 20, True)])
def test_with_a_key_only_what_is_signed_with_it_is_taken(tmp_path: Path, signed_with: str, taken: bool) -> None:
    bench = Bench(tmp_path, key="k" * 20)
    bench.announce(sign(bench.put(), signed_with))
    assert (bench.served.get("champion") is not None) is taken


def test_a_bad_announcement_does_not_keep_a_good_one_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, key="k" * 20)
    good = bench.put()
    bench.announce(good)
    assert bench.served.get("champion") is None
    assert bench.shelf.take_rejections()[0].reason == "signature"
    bench.announce(sign(good, "k" * 20))
    assert bench.served.get("champion") is not None


@pytest.mark.parametrize("stage", ["champion", "retired"])
def test_what_is_not_signed_changes_nothing_though_its_model_is_known(tmp_path: Path, stage: str) -> None:
    bench = Bench(tmp_path, key="k" * 20)
    good = bench.put()
    bench.announce(sign(good, "k" * 20))
    bench.announce(msgspec.structs.replace(good, model_version="v1" if stage == "retired" else "v2", stage=stage))
    assert bench.served.version("champion") == "v1"


@pytest.mark.parametrize("stage", ["previous", "retired"])
def test_what_is_not_for_use_is_not_fetched(tmp_path: Path, stage: str) -> None:
    bench = Bench(tmp_path)
    said = bench.put(stage=stage)
    bench.announce(said)
    assert bench.shelf.get(said.artifact_sha256) is None


def test_a_restored_state_gets_its_model_by_hash(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.announce(bench.put())
    restored, elsewhere = Served("selector"), Shelf(bench.store, "", LOADERS, Metrics())
    restored.use(elsewhere)
    restored.memory[...] = bench.served.memory
    restored.rebuild()
    assert restored.get("champion") is None
    for sha256 in restored.wanted():
        elsewhere.fetch(sha256)
    assert restored.get("champion") is not None


def test_a_store_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    said = bench.put()
    folder = tmp_path / "models" / said.artifact_sha256[:2]
    folder.rename(tmp_path / "away")
    folder.write_text("a file where a folder should be")
    bench.announce(said)
    assert bench.served.get("champion") is None
    folder.unlink()
    (tmp_path / "away").rename(folder)
    bench.shelf.retry()
    assert bench.shelf.get(said.artifact_sha256) is not None


class Sluggish(OnnxModel):
    """Answers well, after five milliseconds of work."""

    def predict(self, x: Any) -> Any:
        until = time.thread_time() + 0.005
        while time.thread_time() < until:
            pass
        return super().predict(x)


@pytest.mark.parametrize(("name", "allowed"), [("selector", 0), ("bandwidth", 1)])
def test_a_model_that_is_too_slow_for_its_use_stays_off(tmp_path: Path, name: str, allowed: int) -> None:
    bench = Bench(tmp_path)
    content = seal(linear([2.0, 3.0], "Identity"), manifest(model_name=name), GOLDEN)
    shelf = Shelf(bench.store, "", {name: partial(Sluggish, features=FEATURES)}, bench.metrics, "w1")
    said = bench.put(content, model_name=name)
    shelf.take(Control(KIND, msgspec.json.encode(said), b"a/0/0", 0, 0))
    assert (shelf.get(said.artifact_sha256) is not None) == bool(allowed)
    assert [one.reason for one in shelf.take_rejections()] == ([] if allowed else ["slow"])


class Tiring(OnnxModel):
    """A model that is quick while it is looked at, and slow on what comes then."""

    slow = False
    takes_s = 0.003

    def predict(self, x: Any) -> Any:
        end = time.thread_time() + self.takes_s
        while self.slow and time.thread_time() < end:
            pass
        return super().predict(x)


def test_a_model_that_becomes_slow_is_said_to_be_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    content = seal(linear([2.0, 3.0], "Identity"), manifest(model_name="selector"), GOLDEN)
    shelf = Shelf(bench.store, "", {"selector": partial(Tiring, features=FEATURES)}, bench.metrics, "w1")
    said = bench.put(content, model_name="selector")
    shelf.take(Control(KIND, msgspec.json.encode(said), b"a/0/0", 0, 0))
    model = shelf.get(said.artifact_sha256)
    assert model is not None
    for _ in range(10):
        model.predict(GOLDEN)
    model._model.slow = True
    for _ in range(10):
        model.predict(GOLDEN)
    assert shelf.take_rejections() == []
    for _ in range(5):
        model.predict(GOLDEN)
    (found,) = shelf.take_rejections()
    assert (found.reason, found.model_version, found.artifact_sha256) == (
        "slow", model.manifest.model_version, said.artifact_sha256,
    )  # fmt: skip
    assert "11 of its last 21 answers" in found.message
    assert shelf.get(said.artifact_sha256) is model, "who decides is the sidecar"


@pytest.mark.parametrize(("wrong", "rows", "refused"), [(21, 2_000, True), (20, 2_000, False), (25, 30_000, False)])
def test_a_model_that_does_not_answer_what_comes_is_said_to_be_once(
    tmp_path: Path, wrong: int, rows: int, refused: bool
) -> None:
    """It answers its golden vectors, and the logarithm of what is negative is no number."""
    bench = Bench(tmp_path)
    content = seal(linear([1.0, 1.0], "Log"), manifest(model_name="selector"), np.ones((1, 2), np.float32))
    said = bench.put(content)
    bench.announce(said)
    model = bench.served.get("champion")
    assert model is not None
    model.predict(np.ones((rows, 2), np.float32))
    for _ in range(wrong):
        assert np.isnan(model.predict(-np.ones((1, 2), np.float32))["score"]).all()
    found = bench.shelf.take_rejections()
    assert [one.reason for one in found] == ["answer"] * refused
    assert bench.rejections("ModelRejected") == float(refused)
    model.predict(-np.ones((50, 2), np.float32))
    assert [one.reason for one in bench.shelf.take_rejections()] == ["answer"] * (not refused)
    bench.announce(said)
    model.predict(-np.ones((50, 2), np.float32))
    assert [one.reason for one in bench.shelf.take_rejections()] == ["answer"], "announced anew, it is looked at anew"


def test_a_model_that_holds_everything_up_is_said_to_be_sooner(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    shelf = Shelf(bench.store, "", {"selector": partial(Tiring, features=FEATURES)}, bench.metrics, "w1")
    said = bench.put()
    shelf.take(Control(KIND, msgspec.json.encode(said), b"a/0/0", 0, 0))
    model = shelf.get(said.artifact_sha256)
    assert model is not None
    model._model.slow, model._model.takes_s = True, 0.3
    model.predict(GOLDEN)
    assert shelf.take_rejections() == []
    model.predict(GOLDEN)
    assert [one.reason for one in shelf.take_rejections()] == ["slow"]


class Distant(ModelStore):
    """A store that takes its time."""

    def get(self, digest: str, size: int | None = None) -> bytes:
        time.sleep(0.5)
        return super().get(digest, size)


def test_nobody_waits_for_a_model_that_was_a_candidate_before(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    shelf = Shelf(Distant(str(tmp_path / "models")), "", LOADERS, bench.metrics)
    for stage, here in (("candidate", True), ("champion", True)):
        said = bench.put(stage=stage)
        began = time.perf_counter()
        for partition in range(8):
            shelf.take(Control(KIND, msgspec.json.encode(said), b"a/%d/0" % partition, 0, 0))
        assert time.perf_counter() - began < 0.05
        deadline = time.monotonic() + 20
        while (shelf.get(said.artifact_sha256) is not None) != here:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_what_is_wrong_with_a_candidate_is_said_when_it_is_for_use(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    said = bench.put(stage="candidate")
    (tmp_path / "models" / path_of(said.artifact_sha256)).write_bytes(ARTIFACT[:-1] + b"!")
    bench.announce(said)
    deadline = time.monotonic() + 20
    while bench.shelf._ahead:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert bench.shelf.take_rejections() == []
    bench.announce(msgspec.structs.replace(said, stage="shadow", timestamp=2))
    assert [one.reason for one in bench.shelf.take_rejections()] == ["hash"]


def test_what_is_asked_stays_when_many_others_come(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    champion = bench.put()
    bench.announce(champion)
    for k in range(20):
        content = seal(linear([2.0 + k, 3.0], "Identity"), manifest(model_name="selector"), GOLDEN)
        other = bench.put(content, stage="shadow", timestamp=2 + k)
        bench.announce(msgspec.structs.replace(other, model_version=f"o{k}"))
        assert bench.served.get("champion") is not None
    assert bench.shelf.get(champion.artifact_sha256) is not None
