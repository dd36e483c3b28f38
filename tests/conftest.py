"""Fixtures shared by all tests, and what happens once before processes share them."""

import pytest

from tests.kafka import kafka
from tests.kernel import compile_all
from tests.postgres import postgres, postgres_server

__all__ = ["kafka", "postgres", "postgres_server"]


def pytest_sessionstart(session: pytest.Session) -> None:
    """Before xdist starts its processes; a process that runs all tests compiles as it comes to it."""
    if getattr(session.config.option, "numprocesses", None) and not hasattr(session.config, "workerinput"):
        compile_all()
