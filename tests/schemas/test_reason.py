"""The set of reasons is closed."""

from __future__ import annotations

import ast
from pathlib import Path

from schemas.reason import REASONS

ROOT = Path(__file__).parent.parent.parent
ERRORS = {"DecodeError", "StepFailed", "ValidationError", "LateRecord", "RecordError"}


def reasons_in(path: Path) -> set[str]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    named = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id in ERRORS and c.args]
    return {str(ast.literal_eval(c.args[0])) for c in named if isinstance(c.args[0], ast.Constant)}


def test_every_reason_given_is_listed_and_every_listed_one_is_given() -> None:
    rooms = ("schemas", "online_models", "streams", "agents")
    given = set().union(*(reasons_in(path) for room in rooms for path in (ROOT / room).rglob("*.py")))
    assert given == set(REASONS)
