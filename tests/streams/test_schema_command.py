"""`dwcp schemas`: data on stdout, and exit code 1 when something does not hold."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from schemas.avro import version
from schemas.avro.frame import fingerprint_of
from schemas.avro.version import DESCRIBED, derived
from schemas.topic import NETWORK_FORECAST, SYSTEM_SCORE
from streams import schema_command
from streams.cli import dwcp


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dwcp, ["schemas", *arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the committed files that the command works on."""
    copy = tmp_path / "schemas" / "avro"
    shutil.copytree(version.FOLDER, copy)
    monkeypatch.setattr(schema_command, "FOLDER", copy)
    return copy


def publish_another_past(folder: Path) -> None:
    """As if the forecast had been published with a field that it no longer has."""
    path = folder / "history" / "network.forecast.v1.jsonl"
    line = path.read_text().splitlines()[-1]
    past = json.loads(line)
    past["fields"].append({"name": "gone", "type": "long"})
    next(f for f in past["fields"] if f["name"] == "confidence")["type"] = "string"
    path.write_text(json.dumps(past) + "\n")


def test_what_is_committed_holds() -> None:
    result = run("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"{len(DESCRIBED)} schemas" in result.stdout
    assert json.loads(run("check", "--json").stdout) == []


def test_list_names_every_schema_with_its_fingerprint() -> None:
    rows = json.loads(run("list", "--json").stdout)
    assert [row["topic"] for row in rows] == [t.name for t in DESCRIBED]
    assert rows[0]["fingerprint"] == fingerprint_of(derived(DESCRIBED[0])).hex()
    root = version.FOLDER.parents[1]
    assert all((root / row["file"]).exists() for row in rows)
    assert len(run("list").stdout.splitlines()) == len(rows)


@pytest.mark.parametrize("name", [NETWORK_FORECAST.name, NETWORK_FORECAST.kind])
def test_show_prints_the_committed_file(name: str) -> None:
    assert run("show", name).stdout == version.schema_file(NETWORK_FORECAST).read_text()


def test_show_says_what_there_is() -> None:
    result = run("show", "network.forcast")
    assert result.exit_code == 2
    assert "network.forecast" in result.stderr


def test_check_fails_when_a_file_is_not_what_the_record_says(folder: Path) -> None:
    path = folder / "system.score.v1.avsc"
    path.write_text(path.read_text().replace('"unit": "1"', '"unit": "%"', 1))
    result = run("check", "--json")
    assert result.exit_code == 1
    ((problem),) = json.loads(result.stdout)
    assert (problem["topic"], problem["kind"]) == (SYSTEM_SCORE.name, "stale")
    assert run("write").stdout == "wrote system.score.v1.avsc\n"
    assert run("check").exit_code == 0


def test_an_incompatible_change_fails_check_and_write_says_what_to_do(folder: Path) -> None:
    publish_another_past(folder)
    before = {path: path.read_text() for path in folder.rglob("*.*") if path.suffix in (".avsc", ".jsonl")}
    checked = run("check")
    assert checked.exit_code == 1
    assert "incompatible" in checked.stdout
    result = run("write")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "dwcp.network.forecast.v2" in result.stderr
    assert before == {path: path.read_text() for path in before}


def test_write_makes_what_is_missing(folder: Path) -> None:
    (folder / "history" / "network.raw.v1.jsonl").unlink()
    (folder / "network.raw.v1.avsc").unlink()
    assert run("check").exit_code == 1
    assert run("write").stdout == "wrote network.raw.v1.avsc\n"
    assert run("check").exit_code == 0
    assert run("write").stdout == ""
