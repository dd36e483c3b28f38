"""The demo's processes: start, wait until ready, stop in order, keep their logs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from schemas.error import ConfigError, DwcpError, InfraError
from streams.preflight import bind_refusal

READY_S = 300.0
"""How long a worker may take to be ready, its kernels compiled."""

_STOP_S = 20.0


class Process:
    """A child in a session of its own, so that Ctrl-C reaches it only through us.

    Parameters
    ----------
    name
        For messages.
    args
        The Python module and its arguments.
    log
        What it says on stderr; what it prints is beside it.
    env
        More of the environment.
    """

    def __init__(self, name: str, args: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.log = log
        self._read = 0
        with log.open("wb") as stderr, log.with_suffix(".out").open("wb") as stdout:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", *args],
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise when the process has ended, with what it said last."""
        code = self._popen.poll()
        if code is not None:
            raise _ChildError(self, code)

    @property
    def finished(self) -> bool:
        """True once it ended by itself with exit code 0; raises when it failed."""
        code = self._popen.poll()
        if code not in (None, 0):
            raise _ChildError(self, code)
        return code == 0

    def stdout(self) -> str:
        """What it printed."""
        return self.log.with_suffix(".out").read_text()

    def tell(self, line: str) -> None:
        """Write a line to its stdin.

        Raises
        ------
        DwcpError
            When it has ended.
        """
        assert self._popen.stdin is not None
        try:
            self._popen.stdin.write(line.encode() + b"\n")
            self._popen.stdin.flush()
        except BrokenPipeError:
            raise _ChildError(self, self._popen.wait()) from None

    def heard(self) -> list[str]:
        """Whole lines that it printed since the last call."""
        with self.log.with_suffix(".out").open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        return whole.decode().splitlines()

    def stop(self) -> int:
        """SIGTERM and wait; SIGKILL after 20 s. The exit code."""
        if self._popen.poll() is None:
            self._popen.send_signal(signal.SIGTERM)
            try:
                self._popen.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._popen.kill()
        return self._popen.wait()


class _ChildError(DwcpError):
    """A child that ended by itself: its own last words and its own exit code."""

    def __init__(self, process: Process, code: int) -> None:
        self.exit_code = code if code > 0 else InfraError.exit_code
        lines = [line for line in process.log.read_text(errors="replace").splitlines() if line.strip()]
        last = "\n  ".join(lines[-8:]) or "(it printed nothing)"
        super().__init__(f"the {process.name} ended with exit code {code}; log {process.log}:\n  {last}")


def worker_environment(port: int) -> dict[str, str]:
    """Settings of a worker on a broker that answers a fetch with one batch per partition: batches of some size."""
    return {
        "DWCP_WEB_PORT": str(port), "DWCP_WEB_HOST": "127.0.0.1", "DWCP_LINGER_MS": "15",
        "DWCP_OUTPUT_FORMAT": "json",  # the audit reads JSON
    }  # fmt: skip


def wait_ready(worker: Process, address: str, timeout_s: float, stopped: Callable[[], bool]) -> None:
    """Wait until the worker says that it is ready, or until `stopped`.

    Raises
    ------
    InfraError
        When it is not ready in time, naming the log to read.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if stopped():
            return
        worker.check()
        try:
            with urllib.request.urlopen(f"{address}/health/ready", timeout=2) as response:
                if response.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        time.sleep(0.1)
    raise InfraError(f"the worker was not ready after {timeout_s:.0f} s; its log is {worker.log}")


def free_port() -> int:
    """A port on loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, option: str) -> None:
    """Raise when a port on loopback is taken.

    Raises
    ------
    ConfigError
        Naming the option and what to do.
    """
    if reason := bind_refusal(("127.0.0.1", port)):
        raise ConfigError(option, port, f"the port must be free ({reason}); 0 picks a free one")
