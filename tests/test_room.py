"""The rooms and their direction: schemas <- online_models, streams <- agents; offline imports all but agents."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "online_models", "streams", "agents", "offline")
MAY_IMPORT = {
    "schemas": set(),
    "online_models": {"schemas"},
    "streams": {"schemas"},
    "agents": {"schemas", "online_models", "streams"},
    "offline": {"schemas", "online_models", "streams"},
}
HOME = {
    "faust": "streams", "mode": "streams", "aiokafka": "streams", "confluent_kafka": "streams",
    "river": "online_models", "onnxruntime": "online_models",
    "sklearn": "offline", "torch": "offline", "pyarrow": "offline",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_lies_behind_it(room: str) -> None:
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        found = imports(path)
        assert found & set(ROOMS) - {room} <= MAY_IMPORT[room], path
        assert {name for name in found & set(HOME) if HOME[name] != room} == set(), path
