"""What an engine does with a service, as far as a machine without one can: its command, its user, its environment.

Names of other services become addresses on loopback, mounted folders become temporary
ones, and the working folder cannot be written. Nothing of our own environment is passed on.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.deploy.compose import ROOT, environment, services
from tests.kafka import jars

PROGRAMS: Mapping[str, list[str]] = {
    "faust": [sys.executable, "-m", "faust"],
    "dwcp": [sys.executable, "-m", "streams.cli"],
    "python": [sys.executable],
}
_SHOWN = 3000


class Place:
    """Where one run of the services lies.

    Parameters
    ----------
    folder
        Everybody may enter it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.swaps: dict[str, str] = {}
        """What stands in the file, and what it is here."""

    def here(self, text: str) -> str:
        """The text with everything swapped, in one pass: what stands first and is longest wins."""
        known = sorted(self.swaps, key=len, reverse=True)
        return re.sub("|".join(map(re.escape, known)), lambda found: self.swaps[found[0]], text) if known else text

    def volume(self, name: str, mount: str, user: str = "") -> Path:
        """A folder for a volume, which belongs to the user that writes to it."""
        path = self.folder / name
        path.mkdir(exist_ok=True)
        if user and os.geteuid() == 0:
            os.chown(path, *map(int, user.split(":")))
        self.swaps[mount] = str(path)
        return path


def become_user(user: str) -> list[str]:
    """What runs a command as a user `uid:gid`; nothing where we are not root, and so may not."""
    if os.geteuid() != 0 or not user or shutil.which("setpriv") is None:
        return []
    uid, _, gid = user.partition(":")
    return ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs", "env"]


@cache
def may_run(*command: str) -> bool:
    """Whether a command can run; an interpreter in root's home cannot, by others."""
    return subprocess.run(command, capture_output=True, timeout=30).returncode == 0


class Container:
    """A service's process.

    Parameters
    ----------
    place
        Where it runs.
    name
        The service.
    command
        What to run; by default the service's command.
    """

    def __init__(self, place: Place, name: str, command: Sequence[str] = ()) -> None:
        self.name = name
        self._place = place
        self._environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(place.folder), "PYTHONUNBUFFERED": "1",
            **{key: place.here(value) for key, value in environment(name).items()},
        }  # fmt: skip
        work = place.folder / "work"
        work.mkdir(mode=0o555, exist_ok=True)
        self.log = place.folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self._own(command or services()[name]["command"]),
                env=self._environment,
                cwd=work,
                stdout=log,
                stderr=log,
            )

    def _own(self, command: Sequence[str]) -> list[str]:
        """A command as the service's user runs it here; as ourselves where we may not become that user."""
        program, *rest = command
        own = [*PROGRAMS.get(program, [program]), *map(self._place.here, rest)]
        become = become_user(services()[self.name].get("user", ""))
        return own if program in PROGRAMS and not may_run(*become, sys.executable, "-c", "") else [*become, *own]

    def health(self) -> int:
        """Exit code of the service's own health check."""
        kind, *command = services()[self.name]["healthcheck"]["test"]
        assert kind == "CMD"
        return subprocess.run(self._own(command), env=self._environment, capture_output=True, timeout=30).returncode

    def stop(self) -> int:
        """TERM, and the exit code; it has the service's grace."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(float(services()[self.name].get("stop_grace_period", "10s").removesuffix("s")))

    def kill(self) -> None:
        """At once."""
        self.process.kill()
        self.process.wait(10)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-_SHOWN:]


def kafka_properties(place: Place) -> Path:
    """The broker's configuration as its image makes it of the environment: `KAFKA_NODE_ID` is `node.id`."""
    given = {key: value for key, value in environment("kafka").items() if key.startswith("KAFKA_")}
    del given["KAFKA_HEAP_OPTS"]
    lines = [f"{key.removeprefix('KAFKA_').lower().replace('_', '.')}={place.here(v)}" for key, v in given.items()]
    path = place.folder / "server.properties"
    path.write_text("\n".join(lines) + "\n")
    return path


def java(*main: str) -> list[str]:
    """A command of Kafka's, with the heap that the service gives it."""
    return ["java", *environment("kafka")["KAFKA_HEAP_OPTS"].split(), "-cp", f"{jars()}/*", *main]


@contextmanager
def ended(containers: Mapping[str, Container]) -> Iterator[None]:
    """Kill what still runs."""
    try:
        yield
    finally:
        for one in reversed(list(containers.values())):
            one.kill()


def tree_copy(source: Path, target: Path, user: str) -> None:
    """A folder's content, which belongs to the user from now on."""
    shutil.copytree(source, target, dirs_exist_ok=True)
    if os.geteuid() == 0:
        uid, gid = map(int, user.split(":"))
        for path in (target, *target.rglob("*")):
            os.chown(path, uid, gid)
