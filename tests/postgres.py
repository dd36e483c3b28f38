"""A real PostgreSQL for tests: Debian's, on loopback, in a folder of its own.

Tests that use it are skipped where it is missing (`apt-get install postgresql`), and fail in CI. As root it runs as
the user `postgres`, because it refuses to be root's.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.demo.process import free_port

PASSWORD = "p@ss/w:rd?"
"""As awkward in a URL as they come."""

_QUOTED = "p%40ss%2Fw%3Ard%3F"
_QUICK = "-c fsync=off -c synchronous_commit=off -c full_page_writes=off -c max_connections=20"


def _binary(name: str) -> str | None:
    known = [str(folder) for folder in Path("/usr/lib/postgresql").glob("*/bin")]
    return shutil.which(name, path=os.pathsep.join([*sorted(known, reverse=True), os.environ.get("PATH", "")]))


class Postgres:
    """One server; a context manager.

    Attributes
    ----------
    url
        Of its database, with user and password.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="dwcp-postgres-"))
        self.port = free_port()
        self.url = f"postgresql://dwcp:{_QUOTED}@127.0.0.1:{self.port}/postgres"
        if os.getuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        (self.folder / "password").write_text(PASSWORD)
        os.chmod(self.folder / "password", 0o644)
        data = ["-D", str(self.folder / "data")]
        self._run("initdb", *data, "-U", "dwcp", "-A", "scram-sha-256", "--no-sync", "-E", "UTF8",
                  f"--pwfile={self.folder / 'password'}")  # fmt: skip

    def __enter__(self) -> Postgres:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} {_QUICK}"
        self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-l", str(self.folder / "log"), "-o", options, "-w", "start"
        )

    def stop(self) -> None:
        """End it as a crash would."""
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-m", "immediate", "stop", check=False)

    def _run(self, name: str, *args: str, check: bool = True) -> None:
        command = [str(_binary(name)), *args]
        if os.getuid() == 0:
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A server for all tests; use `postgres`, which has a database of its own."""
    pytest.importorskip("psycopg")
    missing = [name for name in ("initdb", "pg_ctl", "postgres") if _binary(name) is None]
    if missing:
        if os.environ.get("CI"):
            pytest.fail(f"CI runs these tests: no {', '.join(missing)} (apt-get install postgresql)")
        pytest.skip(f"no {', '.join(missing)} (apt-get install postgresql)")
    with Postgres() as found:
        yield found


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[str]:
    """URL of a new database on a server that runs."""
    import psycopg

    name = f"t{uuid.uuid4().hex[:8]}"
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
    yield postgres_server.url.removesuffix("postgres") + name
    with psycopg.connect(postgres_server.url, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]
