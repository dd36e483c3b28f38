"""The store in an object store: s3fs against a real S3-compatible server (moto's), over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from schemas.error import InfraError, ModelRejected
from streams.demo.process import free_port
from streams.model.store import ModelStore, Stored, path_of

for package in ("s3fs", "moto", "flask", "flask_cors"):
    if not os.environ.get("CI"):
        pytest.importorskip(package, reason=f"no {package} (the test extra has it)")

CONTENT = b"a model" * 100_000
SHA = sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that has a bucket, `bucket`."""
    port = free_port()
    log = (tmp_path_factory.mktemp("s3") / "log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log
    )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, Path(log.name).read_text()
            assert time.monotonic() < deadline
            try:
                urllib.request.urlopen(urllib.request.Request(f"{address}/bucket", method="PUT"), timeout=2).close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
    finally:
        process.kill()
        process.wait()
        log.close()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelStore]:
    """As users set it: a URL, and the client's own variables."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    yield ModelStore("s3://bucket/models")
    s3fs.S3FileSystem.clear_instance_cache()


def test_what_is_put_is_got_and_listed(store: ModelStore) -> None:
    assert store.put(CONTENT) == store.put(CONTENT) == Stored(SHA, len(CONTENT))
    assert store.get(SHA, len(CONTENT)) == CONTENT
    assert list(store) == [Stored(SHA, len(CONTENT))]


def overwrite(digest: str, content: bytes) -> None:
    """As somebody else does, past the store."""
    import s3fs

    s3fs.S3FileSystem(skip_instance_cache=True).pipe_file(f"bucket/models/{path_of(digest)}", content)


def test_what_another_process_wrote_is_seen(store: ModelStore) -> None:
    other = b"another"
    digest = sha256(other).hexdigest()
    with pytest.raises(ModelRejected, match="is not in"):
        store.get(digest)
    overwrite(digest, other)
    assert store.get(digest) == other


def test_what_was_changed_is_refused(store: ModelStore) -> None:
    store.put(CONTENT)
    overwrite(SHA, b"B" + CONTENT[1:])
    with pytest.raises(ModelRejected) as caught:
        store.get(SHA)
    assert caught.value.reason == "hash"


def test_a_bucket_that_is_not_there_is_said(store: ModelStore) -> None:
    with pytest.raises(InfraError, match="s3://other/models"):
        ModelStore("s3://other/models").put(CONTENT)
