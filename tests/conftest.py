"""Fixtures shared by all tests."""

from tests.kafka import kafka

__all__ = ["kafka"]
