"""`dwcp models` from a trained folder to a rollback, on the embedded broker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from offline.model.command import models
from offline.training.artifact import write_artifact
from offline.training.gate import gate
from schemas.error import ConfigError, GateFailed, ModelRejected
from schemas.topic import MODEL_ANNOUNCEMENT
from streams.embedded import EmbeddedBroker
from streams.model.registry import read_registry
from streams.model.store import path_of
from streams.recording.log import Log
from streams.settings import Settings
from tests.online_models.test_onnx_model import GOLDEN, linear, manifest


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as embedded:
        yield embedded


@pytest.fixture
def name(broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A model of the test's own, on the module's broker."""
    monkeypatch.setenv("BROKER_URL", broker.address)
    monkeypatch.setenv("DWCP_MODEL_STORE", str(tmp_path / "store"))
    return tmp_path.name


def trained(folder: Path, name: str, version: str = "1", passed: bool = True, weight: float = 2.0) -> Path:
    gates = [gate("accuracy", 0.97 if passed else 0.9, "at_least", 0.95)]
    said = manifest(model_name=name, model_version=version, gates=gates, metrics={"accuracy": gates[0].value})
    write_artifact(folder / version, linear([weight, 3.0], "Identity"), said, GOLDEN)
    return folder / version


def run(*args: str | Path, code: int = 0) -> Any:
    result = CliRunner().invoke(models, [*map(str, args), "--json"])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def stages(name: str) -> dict[str, str]:
    return {one["model_version"]: one["stage"] + "!" * one["held"] for one in run("list", name)}


def test_from_training_to_champion_and_back(name: str, tmp_path: Path) -> None:
    for version in ("1", "2"):
        (announced,) = run("announce", trained(tmp_path, name, version))
        assert (announced["stage"], announced["failed_gates"]) == ("candidate", [])
        for _ in range(3):
            run("promote", name, version)
    assert stages(name) == {"1": "previous", "2": "champion"}
    back = run("rollback", name, "--reason", "too slow")
    assert [(one["model_version"], one["stage"], one["held"]) for one in back] == [
        ("1", "champion", False),
        ("2", "candidate", True),
    ]
    assert stages(name) == {"1": "champion", "2": "candidate!"}
    with pytest.raises(ConfigError, match=r"too slow\): `dwcp models release` it first"):
        run("promote", name, "2")
    run("release", name, "2")
    run("retire", name, "2")
    assert stages(name) == {"1": "champion", "2": "retired"}
    run("rollback", name, "--to-online")
    assert stages(name) == {"1": "candidate!", "2": "retired"}


def test_announcing_again_changes_nothing(name: str, tmp_path: Path) -> None:
    folder = trained(tmp_path, name)
    run("announce", folder)
    run("promote", name, "1")
    assert run("announce", folder) == []
    assert stages(name) == {"1": "shadow"}


def test_another_artifact_needs_another_version(name: str, tmp_path: Path) -> None:
    run("announce", trained(tmp_path / "a", name))
    with pytest.raises(ConfigError, match="another version"):
        run("announce", trained(tmp_path / "b", name, weight=9.0))


def test_failed_gates_need_force_and_are_remembered(name: str, tmp_path: Path) -> None:
    folder = trained(tmp_path, name, passed=False)
    with pytest.raises(GateFailed, match="accuracy"):
        run("announce", folder)
    assert not (tmp_path / "store").exists()
    (announced,) = run("announce", folder, "--force")
    assert announced["failed_gates"] == ["accuracy"]
    assert "forced with failed gates accuracy" in announced["reason"]
    with pytest.raises(ConfigError, match="failed gates accuracy only with --force"):
        run("promote", name, "1", "--stage", "champion")


@pytest.mark.parametrize("damage", ["truncated", "other", "no_model", "no_metadata"])
def test_what_no_worker_would_load_is_not_announced(name: str, tmp_path: Path, damage: str) -> None:
    folder = trained(tmp_path, name)
    model = folder / "model.onnx"
    if damage == "truncated":
        model.write_bytes(model.read_bytes()[:-40])
    elif damage == "other":
        shutil.copy(trained(tmp_path, name, "2") / "model.onnx", model)
    elif damage == "no_model":
        model.unlink()
    else:
        (folder / "model_metadata.json").unlink()
    with pytest.raises(ModelRejected):
        run("announce", folder)
    assert run("list", name) == []


def test_a_version_is_verified_as_a_worker_does(name: str, tmp_path: Path) -> None:
    (announced,) = run("announce", trained(tmp_path, name))
    found = {one["check"]: one["passed"] for one in run("verify", name, "1")}
    assert found == dict.fromkeys(["signature", "artifact", "golden", "manifest", "gates", "latency"], True)
    stored = tmp_path / "store" / path_of(announced["artifact_sha256"])
    stored.write_bytes(stored.read_bytes()[:-1] + b"\x00")
    checks = run("verify", name, "1", code=1)
    assert [one["check"] for one in checks if not one["passed"]] == ["artifact"]
    stored.unlink()
    assert "is not in" in run("verify", name, "1", code=1)[-1]["found"]


def test_what_was_announced_with_a_key_is_signed(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("announce", trained(tmp_path, name, "1"))
    monkeypatch.setenv("DWCP_MODEL_KEY", "sixteen or more characters")
    run("announce", trained(tmp_path, name, "2"))
    assert stages(name) == {"2": "candidate"}
    assert run("verify", name, "2")[0] == {"check": "signature", "passed": True, "found": "checked"}
    monkeypatch.setenv("DWCP_MODEL_KEY", "another key of a thief")
    assert stages(name) == {}


def test_a_version_is_shown_whole(name: str, tmp_path: Path) -> None:
    run("announce", trained(tmp_path, name), "--reason", "first")
    shown = run("show", name, "1")
    assert (shown["reason"], shown["gates"][0]["passed"], shown["rejections"]) == ("first", True, [])
    known = read_registry(Settings.from_environment()).catalogue.get(name, "1")
    assert known is not None
    assert shown["artifact"] == known.artifact


@pytest.mark.parametrize(
    "command", [("show", "2"), ("verify", "2"), ("promote", "2"), ("release", "2"), ("retire", "2")]
)
def test_an_unknown_version_names_those_there_are(name: str, tmp_path: Path, command: tuple[str, str]) -> None:
    run("announce", trained(tmp_path, name, "1"))
    with pytest.raises(ConfigError, match=f"a version of {name}: 1"):
        run(command[0], name, command[1])


def test_changes_are_keyed_by_version(name: str, tmp_path: Path) -> None:
    run("announce", trained(tmp_path, name))
    with Log(Settings.from_environment(), [MODEL_ANNOUNCEMENT.name]) as log:
        keys = [record.key for record in log.read()]
    assert f"{name}:1".encode() in keys


def test_for_people_it_is_text(name: str, tmp_path: Path) -> None:
    run("announce", trained(tmp_path, name))
    words = {"list": (name, "candidate"), "show": ("artifact_sha256", "gate=accuracy"), "verify": ("ok   golden",)}
    for command, expected in words.items():
        args = [command, name] if command == "list" else [command, name, "1"]
        result = CliRunner().invoke(models, args)
        assert result.exit_code == 0, result.output
        assert all(word in result.stdout for word in expected)
