"""Fixtures shared by all tests."""

from tests.kafka import kafka
from tests.postgres import postgres, postgres_server

__all__ = ["kafka", "postgres", "postgres_server"]
