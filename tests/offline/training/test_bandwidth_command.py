"""`dwcp train bandwidth`: from files to an artifact that loads, with a report, or an error that says what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from offline.training.bandwidth_command import bandwidth
from online_models.bandwidth.trained_input import CONTEXT_NAMES, NEWEST
from online_models.onnx_model import OnnxModel
from schemas.error import ConfigError, GateFailed
from tests.offline.training.link_samples import make_records, write_recording

pytest.importorskip("matplotlib", reason="reports have figures: the train extra is not installed")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_recording(tmp_path_factory.mktemp("data") / "links.jsonl.zst", make_records(1440, 2))


def run(*args: object) -> tuple[Any, BaseException | None]:
    """What was printed, and the error of the tree that ended it."""
    result = CliRunner().invoke(bandwidth, [*map(str, args), "--rows", "400", "--json"])
    if result.exception is not None and not isinstance(result.exception, GateFailed | ConfigError):
        raise result.exception
    return (json.loads(result.stdout) if result.stdout else None), result.exception


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, BaseException | None]:
    out = tmp_path_factory.mktemp("out")
    return out, *run("--data", data, "--model", "ridge", "--out", out)


def test_the_artifact_loads_where_the_worker_is(trained: tuple[Path, Any, Any]) -> None:
    out, document, _ = trained
    model = OnnxModel((out / "model.onnx").read_bytes(), NEWEST.input_names)
    assert model.manifest.settings["architecture"] == document["champion"] == "ridge"
    x = np.ones((3, len(NEWEST.input_names)), np.float32)
    assert model.predict(x)["forecast"].shape == (3, 4)


def test_the_manifest_says_what_to_ask_with(trained: tuple[Path, Any, Any]) -> None:
    manifest = OnnxModel((trained[0] / "model.onnx").read_bytes(), NEWEST.input_names).manifest
    settings = manifest.settings
    width = len(CONTEXT_NAMES) + int(settings["window_samples"]) * len(settings["window_features"].split(","))
    assert manifest.input_shape == [width] == [len(manifest.feature_names)]
    assert manifest.feature_names[int(settings["level_at"])] == "level_throughput_mbps"
    assert manifest.feature_names[int(settings["scale_at"])] == "scale_throughput_mbps"
    assert (manifest.training_from, manifest.outputs) < (manifest.training_to, ["forecast2"])


def test_the_metadata_has_the_documents_keys(trained: tuple[Path, Any, Any]) -> None:
    metadata = msgspec.json.decode((trained[0] / "model_metadata.json").read_bytes())
    for key in ("model_version", "trained_at", "sequence_length", "input_features", "output_targets", "test_metrics"):
        assert metadata[key] is not None, key
    assert metadata["prediction_horizon_minutes"] == 15
    assert metadata["gates"]


def test_every_bar_stands_beside_the_model(trained: tuple[Path, Any, Any]) -> None:
    out, document, _ = trained
    assert list(document["test"]) == ["published", "persistence", "moving-average", "climatology", "ridge"]
    report = (out / "report.md").read_text()
    for name in document["test"]:
        assert f"| {name} |" in report or f"| **{name}** |" in report
    for figure in ("forecast", "residuals", "skill_by_hour"):
        assert (out / f"{figure}.png").stat().st_size > 1000
        assert f"({figure}.png)" in report


def test_a_missed_gate_is_an_error_that_names_it(trained: tuple[Path, Any, Any]) -> None:
    out, document, error = trained
    missed = [one["gate"] for one in document["gates"] if not one["passed"]]
    assert missed  # 10 % of bandwidth are out of reach on links that wander by 60 %
    assert isinstance(error, GateFailed)
    assert error.exit_code == 1
    assert missed[0] in str(error)
    assert f"`{missed[0]}` is missed by" in (out / "report.md").read_text()


def test_a_bar_can_be_the_model(data: Path, tmp_path: Path) -> None:
    document, _ = run("--data", data, "--model", "moving-average", "--out", tmp_path)
    model, bar = document["test"]["moving-average"], document["test"]["persistence"]
    assert model["mean_ratio"] <= 1.0 <= bar["mean_ratio"] or model["mean_ratio"] < 1.2
    OnnxModel((tmp_path / "model.onnx").read_bytes(), NEWEST.input_names)


def test_all_takes_the_best_on_validation(data: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="networks are trained with PyTorch: the train extra is not installed")
    torch.set_num_threads(1)
    document, _ = run("--data", data, "--out", tmp_path, "--epochs", 1)
    validation = document["validation"]
    assert {"ridge", "boosting", "lstm", "lstm-attention", "climatology"} < set(validation)
    candidates = {name: ratio for name, ratio in validation.items() if name != "published"}
    assert document["champion"] == min(candidates, key=lambda name: candidates[name])
    assert (tmp_path / "learning.png").exists()
    assert {path.name for path in (tmp_path / "checkpoint").iterdir()} == {"lstm.pt", "lstm-attention.pt"}


def test_the_ceiling_is_shown_where_it_is_known(data: Path, tmp_path: Path) -> None:
    ceiling = tmp_path / "fleet.json"
    table = {t: {"mae": 1.25} for t in ("throughput_mbps", "rtt_ms", "packet_loss", "jitter_ms")}
    ceiling.write_text(json.dumps({"ceiling": {"forecast": {"scored": 9, "dc": table, "metro": table}}}))
    run("--data", data, "--model", "ridge", "--out", tmp_path / "out", "--ceiling", ceiling)
    report = (tmp_path / "out" / "report.md").read_text()
    assert "| 1.25 |" in report
    assert "% of the champion's" in report


@pytest.mark.parametrize("content", ["{", "{}", '{"ceiling": {"forecast": null}}'])
def test_a_ceiling_that_is_none_is_refused(data: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "c.json").write_text(content)
    _, error = run("--data", data, "--model", "ridge", "--out", tmp_path / "o", "--ceiling", tmp_path / "c.json")
    assert isinstance(error, ConfigError)
    assert "dwcp simulate" in str(error)


def test_too_little_data_is_said(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "short.jsonl", make_records(40, 2))
    _, error = run("--data", path, "--model", "ridge", "--out", tmp_path / "out")
    assert isinstance(error, ConfigError)
    assert "--data" in str(error)
