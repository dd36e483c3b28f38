"""The registry client against mock:// and against a small real HTTP server that answers as a registry does."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from schemas.error import DecodeError, InfraError
from streams import registry as module
from streams.registry import Registry
from tests.registry import RegistryServer, registry_server

SCHEMA = '{"type": "record", "name": "X", "fields": []}'


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    with registry_server() as server:
        yield server


def test_mock_registers_and_finds() -> None:
    registry = Registry("mock://test")
    schema_id = registry.register("t-value", SCHEMA)
    assert registry.register("t-value", SCHEMA) == schema_id
    assert registry.writer_schema(schema_id) == SCHEMA
    with pytest.raises(DecodeError, match="no schema 99") as caught:
        registry.writer_schema(99)
    assert caught.value.reason == "unknown_schema"


def test_a_schema_is_asked_for_once(server: RegistryServer) -> None:
    server.answers["/schemas/ids/7"] = (200, {"schema": SCHEMA})
    registry = Registry(server.url, "me:secret")
    assert [registry.writer_schema(7) for _ in range(3)] == [SCHEMA] * 3
    assert server.asked == ["/schemas/ids/7"]
    assert server.authorization == "Basic bWU6c2VjcmV0"


def test_an_unknown_id_is_asked_for_again_only_later(server: RegistryServer, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(server.url)
    for _ in range(3):
        with pytest.raises(DecodeError):
            registry.writer_schema(8)
    assert server.asked == ["/schemas/ids/8"]
    monkeypatch.setattr(module, "_FORGET_UNKNOWN_S", 0.0)
    server.answers["/schemas/ids/8"] = (200, {"schema": SCHEMA})
    assert registry.writer_schema(8) == SCHEMA


def test_a_schema_of_another_language_is_unknown(server: RegistryServer) -> None:
    server.answers["/schemas/ids/9"] = (200, {"schema": "message X {}", "schemaType": "PROTOBUF"})
    with pytest.raises(DecodeError, match="schema 9 is PROTOBUF, not AVRO"):
        Registry(server.url).writer_schema(9)


@pytest.mark.parametrize(
    ("status", "document"),
    [
        (404, "not a registry"),
        (404, {"detail": "Not Found"}),
        (401, {"error_code": 401, "message": "Unauthorized"}),
        (500, {"error_code": 50001, "message": "Error in the backend"}),
        (200, "not JSON"),
        (200, {}),
    ],
)
def test_what_is_no_answer_of_a_registry_stops_the_worker(
    status: int, document: Any, server: RegistryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RETRY_WAIT_MS", 1)
    server.answers["/schemas/ids/1"] = (status, document)
    with pytest.raises(InfraError, match="DWCP_SCHEMA_REGISTRY_URL") as caught:
        Registry(server.url).writer_schema(1)
    assert caught.value.exit_code == 70


def test_a_registry_that_is_away_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RETRY_WAIT_MS", 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        registry = Registry(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(InfraError, match="cannot read schema 1 at the registry"):
            registry.writer_schema(1)
        with pytest.raises(InfraError, match="cannot register the schema of t-value"):
            registry.register("t-value", SCHEMA)


def test_a_refused_schema_says_why(server: RegistryServer) -> None:
    answer = {"error_code": 409, "message": "Schema being registered is incompatible"}
    server.answers["/subjects/t-value/versions"] = (409, answer)
    with pytest.raises(InfraError, match="being registered is incompatible"):
        Registry(server.url).register("t-value", SCHEMA)


def test_registering_gives_the_id(server: RegistryServer) -> None:
    registry = Registry(server.url)
    schema_id = registry.register("t-value", SCHEMA)
    assert server.subjects == {"t-value": schema_id}
    assert Registry(server.url).writer_schema(schema_id) == SCHEMA
