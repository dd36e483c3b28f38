"""Published schemas stay readable by each other, or are not published."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from schemas.avro.schema import Schema
from schemas.avro.version import (
    check,
    derived,
    history_file,
    history_of,
    incompatibilities,
    schema_file,
    write,
)
from schemas.topic import SYSTEM_ANOMALY, Topic

TOPIC = SYSTEM_ANOMALY


def changed(edit: str, schema: Schema | None = None) -> Schema:
    """The anomaly schema after one edit."""
    schema = copy.deepcopy(schema or derived(TOPIC))
    fields: list[dict[str, Any]] = schema["fields"]
    by_name = {f["name"]: f for f in fields}
    new = {"name": "new", "type": "long", "doc": "New", "unit": "1"}
    match edit:
        case "add with default":
            fields.append(new | {"default": 0})
        case "add without default":
            fields.append(new)
        case "remove required":
            fields.remove(by_name["severity_score"])
        case "rename":
            by_name["severity_score"]["name"] = "badness"
        case "number to text":
            by_name["severity_score"]["type"] = "string"
        case "float to int":
            by_name["severity_score"]["type"] = "long"
        case "nullable":
            by_name["severity_score"]["type"] = ["null", "double"]
        case "add symbol":
            by_name["severity"]["type"]["symbols"].append("worst")
        case "remove symbol":
            by_name["severity"]["type"]["symbols"].remove("low")
        case "inner field":
            by_name["baseline_comparison"]["type"]["values"]["fields"].append(new)
        case "record name":
            schema["name"] = "Oddity"
        case "no doc":
            by_name["severity"]["doc"] = ""
        case "no unit":
            del by_name["severity_score"]["unit"]
        case "inner no unit":
            by_name["baseline_comparison"]["type"]["values"]["fields"][0]["unit"] = ""
        case "other doc":
            by_name["severity"]["doc"] = "Badness"
        case "remove default":
            fields[:] = [f for f in fields if f["name"] != "new"]
        case "text default":
            fields.append(new | {"type": "string", "default": ""})
        case _:
            raise ValueError(edit)
    return schema


INCOMPATIBLE = [
    "add without default", "remove required", "rename", "number to text", "float to int", "nullable", "add symbol",
    "remove symbol", "inner field", "record name",
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the first version published."""
    assert write(TOPIC, derived(TOPIC), tmp_path) == []
    return tmp_path


def content(folder: Path, topic: Topic = TOPIC) -> tuple[str, str]:
    return schema_file(topic, folder).read_text(), history_file(topic, folder).read_text()


def kinds(schema: Schema, folder: Path) -> list[str]:
    return [problem.kind for problem in check(TOPIC, schema, folder)]


def test_nothing_is_wrong_with_what_was_written_and_writing_twice_changes_nothing(folder: Path) -> None:
    before = content(folder)
    assert check(TOPIC, derived(TOPIC), folder) == []
    assert write(TOPIC, derived(TOPIC), folder) == []
    assert content(folder) == before
    assert len(history_of(TOPIC, folder)) == 1


@pytest.mark.parametrize("edit", INCOMPATIBLE)
def test_an_incompatible_change_is_caught_and_not_written(edit: str, folder: Path) -> None:
    before = content(folder)
    assert "incompatible" in kinds(changed(edit), folder)
    refused = write(TOPIC, changed(edit), folder)
    assert {problem.kind for problem in refused} == {"incompatible"}
    assert all("cannot read what version" in problem.message for problem in refused)
    assert content(folder) == before


@pytest.mark.parametrize("edit", ["no doc", "no unit", "inner no unit"])
def test_an_undocumented_field_is_caught_and_not_written(edit: str, folder: Path) -> None:
    before = content(folder)
    assert "undocumented" in kinds(changed(edit), folder)
    ((name, kind, message),) = write(TOPIC, changed(edit), folder)
    assert (name, kind) == (TOPIC.name, "undocumented")
    assert "schemas/glossary.py" in message
    assert content(folder) == before


def test_a_compatible_change_is_a_new_version(folder: Path) -> None:
    schema = changed("add with default")
    assert kinds(schema, folder) == ["stale", "unpublished"]
    assert write(TOPIC, schema, folder) == []
    assert kinds(schema, folder) == []
    assert len(history_of(TOPIC, folder)) == 2


def test_documentation_may_change_without_a_new_version(folder: Path) -> None:
    schema = changed("other doc")
    assert kinds(schema, folder) == ["stale"]
    assert write(TOPIC, schema, folder) == []
    assert len(history_of(TOPIC, folder)) == 1


def test_every_pair_counts_not_only_neighbours(folder: Path) -> None:
    """A default lets a field go, and come back as another type; only the first and the last cannot read each other."""
    with_number = changed("add with default")
    write(TOPIC, with_number, folder)
    write(TOPIC, derived(TOPIC), folder)
    back = changed("text default")
    assert incompatibilities([derived(TOPIC), back]) == []
    refused = write(TOPIC, back, folder)
    assert [p.message.split(":")[0] for p in refused] == [
        "version 4 cannot read what version 2 wrote",
        "version 2 cannot read what version 4 wrote",
    ]


def test_missing_files_are_said(tmp_path: Path) -> None:
    assert kinds(derived(TOPIC), tmp_path) == ["missing", "unpublished"]
