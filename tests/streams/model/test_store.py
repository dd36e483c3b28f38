"""The store: by content alone, whole or not at all, and nothing from outside."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from schemas.error import ConfigError, InfraError, ModelRejected
from streams.model.store import MAX_ARTIFACT_BYTES, ModelStore, Stored, path_of
from streams.settings import Settings
from tests.streams.model.test_stage import candidate

CONTENT = b"a model" * 100
SHA = sha256(CONTENT).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(str(tmp_path / "models"))


def test_what_is_put_is_got(store: ModelStore) -> None:
    assert store.put(CONTENT) == Stored(SHA, len(CONTENT))
    assert store.get(SHA) == store.get(SHA, len(CONTENT)) == CONTENT
    assert list(store) == [Stored(SHA, len(CONTENT))]


def test_putting_it_again_changes_nothing(store: ModelStore, tmp_path: Path) -> None:
    store.put(CONTENT)
    (path,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    before = path.stat().st_mtime_ns
    store.put(CONTENT)
    assert [path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()] == [before]


def test_what_was_cut_off_is_put_again(store: ModelStore, tmp_path: Path) -> None:
    path = tmp_path / "models" / path_of(SHA)
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT[:10])
    with pytest.raises(ModelRejected, match="10 bytes") as caught:
        store.get(SHA, len(CONTENT))
    assert caught.value.reason == "size"
    store.put(CONTENT)
    assert store.get(SHA) == CONTENT


def test_an_empty_store_has_nothing(store: ModelStore) -> None:
    assert list(store) == []
    with pytest.raises(ModelRejected, match="is not in"):
        store.get(SHA)


def test_a_changed_artifact_is_refused(store: ModelStore, tmp_path: Path) -> None:
    store.put(CONTENT)
    path = tmp_path / "models" / path_of(SHA)
    path.write_bytes(b"B" + CONTENT[1:])
    with pytest.raises(ModelRejected, match="damaged") as caught:
        store.get(SHA, len(CONTENT))
    assert caught.value.reason == "hash"


def test_an_artifact_too_large_is_not_read(store: ModelStore, tmp_path: Path) -> None:
    path = tmp_path / "models" / path_of(SHA)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        file.truncate(MAX_ARTIFACT_BYTES + 1)  # sparse
    with pytest.raises(ModelRejected, match="at most"):
        store.get(SHA)


@pytest.mark.parametrize(
    "digest", ["", "../../etc/passwd", SHA.upper(), SHA[:-1], SHA + "0", SHA + "\n", "/" + SHA[1:], "s3://b/" + SHA]
)
def test_only_hashes_name_artifacts(store: ModelStore, digest: str) -> None:
    store.put(CONTENT)
    with pytest.raises(ModelRejected, match="no SHA-256"):
        store.get(digest)


def test_an_announced_artifact_is_fetched(store: ModelStore) -> None:
    store.put(CONTENT)
    said = replace(candidate("1"), artifact=path_of(SHA), artifact_sha256=SHA, artifact_bytes=len(CONTENT))
    assert store.fetch(said) == CONTENT


@pytest.mark.parametrize(
    "changes",
    [
        {"artifact": "../secret"}, {"artifact": "/etc/passwd"}, {"artifact": "http://elsewhere/" + SHA},
        {"artifact": "s3://other/" + path_of(SHA)}, {"artifact_bytes": len(CONTENT) + 1},
        {"artifact_sha256": "0" * 64, "artifact": path_of("0" * 64)},
    ],
)  # fmt: skip
def test_an_announcement_that_names_anything_else_is_refused(store: ModelStore, changes: dict[str, Any]) -> None:
    store.put(CONTENT)
    said = replace(candidate("1"), artifact=path_of(SHA), artifact_sha256=SHA, artifact_bytes=len(CONTENT))
    with pytest.raises(ModelRejected):
        store.fetch(replace(said, **changes))


def test_what_an_interrupted_put_left_is_not_listed(store: ModelStore, tmp_path: Path) -> None:
    store.put(CONTENT)
    (tmp_path / "models" / (path_of(SHA) + ".partial-0")).write_bytes(b"half")
    assert [one.sha256 for one in store] == [SHA]


def test_a_store_that_cannot_be_written_is_an_infrastructure_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InfraError, match="cannot write"):
        ModelStore(str(tmp_path / "file")).put(CONTENT)


@pytest.mark.parametrize("url", ["models", "/srv/models", "file:///srv/models", "s3://bucket/models"])
def test_stores_that_may_be_set(url: str) -> None:
    assert Settings.from_environment({"DWCP_MODEL_STORE": url}).model_store == url


@pytest.mark.parametrize("url", ["", "http://h/models", "simplecache::s3://b", "github://o:r@/", "a\nb", "s3://"])
def test_stores_that_may_not(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.from_environment({"DWCP_MODEL_STORE": url})
    assert caught.value.variable == "DWCP_MODEL_STORE"


def test_a_store_without_its_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(ConfigError, match=r"dwcp-streams\[s3\]"):
        ModelStore("s3://bucket/models")
