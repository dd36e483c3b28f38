"""What rollouts teach of settings: as much as they have in common, judged on later ones, and used by workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from offline.sidecar.archive import Archive
from offline.sidecar.training import export
from offline.training.optimizer_command import optimizer, read_priors
from offline.training.optimizer_fit import LEAST_ROLLOUTS, fit, foretell, read_rollouts
from online_models.onnx_model import OnnxModel
from online_models.optimizer.learned import INPUTS, NAME, Learned, inputs_of
from online_models.optimizer.prior import PERFORMANCE, Prior
from online_models.optimizer.space import DEFAULT, GROUPS, STATE, to_unit
from online_models.optimizer.state import Optimizing
from schemas.batch import Control
from schemas.error import ConfigError, GateFailed
from schemas.optimizer import PARAMETERS, OptimizerRecommendation, OptimizerRollout, ParameterChange
from schemas.topic import OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT
from streams.recording.file import RecordingFile
from streams.recording.format import Recorded
from tests.online_models.optimizer.fleet import live, request
from tests.online_models.stream import START_MS
from tests.online_models.test_served import announcement

DAY_MS = 86_400_000
Told = tuple[list[OptimizerRecommendation], list[OptimizerRollout]]


@pytest.fixture(scope="module")
def priors() -> dict[str, Prior]:
    return read_priors()


def rollouts(priors: dict[str, Prior], n: int, *, alike: bool, seed: int = 0) -> Told:
    """Compression and forecasts tuned in a deployment that is one measured context, or in a context of its own each."""
    rng = np.random.default_rng(seed)
    recommendations, steps = [], []
    for k in range(n):
        system = ("hde", "pba")[k % 2]
        prior, where = priors[system], GROUPS[system]
        surface = prior.surfaces[17 if alike else rng.integers(len(prior.surfaces)), :, PERFORMANCE]
        old, new = prior.nearest(DEFAULT[where]), int(rng.integers(len(prior.values)))
        if old == new:
            continue
        gained = (surface[new] - surface[old]) / len(GROUPS) + 0.003 * rng.standard_normal()
        at = START_MS + k * DAY_MS // 4
        changes = [
            ParameterChange(p.name, p.unit, float(b), float(a), p.minimum, p.maximum)
            for p, b, a in zip(PARAMETERS[where], DEFAULT[where], prior.values[new], strict=True) if a != b
        ]  # fmt: skip
        state = dict(zip(STATE, [*to_unit(DEFAULT).tolist(), *[0.0] * 26], strict=True))
        recommendations.append(
            OptimizerRecommendation(
                f"r{k}", at, "", f"fleet/{k % 8}", "operator", changes, 0.0, 0.0, 0.0, 0.0, 0.0, [], 0.5, at, "m", "v",
                state, {},
            )
        )  # fmt: skip
        low, middle, high = (100.0 * float(np.expm1(gained + off)) for off in (-0.006, 0.0, 0.006))
        for status, effect in (("running", None), ("advanced", middle), ("completed", None)):
            tested = (None, None, None) if effect is None else (effect, low, high)
            steps.append(
                OptimizerRollout(
                    f"{k}{status}", at + 60_000, f"fleet/{k % 8}/{k}", f"r{k}", f"fleet/{k % 8}", status, 5, at,  # type: ignore[arg-type]
                    changes, 9, 9, *tested, None, 0.001,
                )
            )  # fmt: skip
    return recommendations, steps


def recorded(told: Told, path: Path) -> Path:
    with RecordingFile(path) as file:
        for topic, records in zip((OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT), told, strict=True):
            file.write([
                Recorded(topic.name, 0, k, one.timestamp, one.scope.encode(), msgspec.json.encode(one))
                for k, one in enumerate(records)
            ])  # fmt: skip
    return path


def trained(told: Told, folder: Path, *options: str) -> Any:
    path = recorded(told, folder / "rollouts.jsonl")
    return CliRunner().invoke(optimizer, ["--data", str(path), "--out", str(folder / "out"), "--json", *options])


def test_each_rollout_is_read_once_with_its_last_test(priors: dict[str, Prior]) -> None:
    told = rollouts(priors, 20, alike=True)
    found = read_rollouts(*told, priors)
    assert len(found) == len(told[0])
    surface = priors[found[0].system].surfaces[17, :, PERFORMANCE]
    gained = surface[found[0].after] - surface[found[0].before]
    assert found[0].surprise + found[0].expected == pytest.approx(gained, abs=0.04)
    assert [one.time_ms for one in found] == sorted(one.time_ms for one in found)
    assert not read_rollouts([], told[1], priors)


def test_what_all_partitions_share_is_learned_and_what_none_does_is_not(priors: dict[str, Prior]) -> None:
    errors = {}
    for alike in (True, False):
        found = read_rollouts(*rollouts(priors, 80, alike=alike, seed=1), priors)
        fitted = fit(found[:56], priors)
        later = [(abs(one.surprise - fitted.expect(one)), abs(one.surprise)) for one in found[56:]]
        errors[alike] = float(np.divide(*np.mean(later, axis=0)))
        assert (fitted.share >= 0.75) if alike else (fitted.share <= 0.25)
        assert not fitted.gains["acp"].any()  # of consensus there was no rollout
    assert errors[True] < 0.5
    assert errors[False] < 1.1


@pytest.mark.parametrize("partitions", [1, 2])
def test_what_a_partition_learned_of_itself_is_not_what_all_have_in_common(
    priors: dict[str, Prior], partitions: int
) -> None:
    """Two contexts, told apart by their partitions: either's rollouts tell all of its own and little of the other's."""
    hde = [one for one in read_rollouts(*rollouts(priors, 80, alike=True, seed=1), priors) if one.system == "hde"]
    found = [
        one._replace(scope=f"fleet/{k % partitions}", surprise=one.surprise * (-1.0) ** (k % partitions))
        for k, one in enumerate(hde)
    ]
    cut = round(0.7 * len(found))
    surprise = np.array([one.surprise for one in found[cut:]])
    error = np.abs(surprise - foretell(found[:cut], found[cut:], priors)).mean() / np.abs(surprise).mean()
    assert error < 0.5 if partitions == 1 else error > 1.0


def test_rollouts_become_a_model_that_workers_use(priors: dict[str, Prior], tmp_path: Path) -> None:
    told = rollouts(priors, 60, alike=True)
    result = trained(told, tmp_path)
    assert result.exit_code == 0, result.output
    summary = msgspec.json.decode(result.stdout)
    assert summary["error"] < 0.5 * summary["error_before"] < summary["error_of_expecting_nothing"]
    model = OnnxModel((tmp_path / "out" / "model.onnx").read_bytes(), INPUTS)
    fitted = fit(read_rollouts(*told, priors), priors)
    for name, prior in priors.items():
        said = model.predict(inputs_of(name, prior.values))["gain"]
        np.testing.assert_allclose(said, fitted.gains[name], atol=1e-5)

    plain, state = Optimizing(priors)(), Optimizing(priors)()
    one = announcement(model.manifest.model_version, model.sha256, "champion", model_name=NAME)
    state.use(Shelf({model.sha256: model}))
    state.control(Control("model", msgspec.json.encode(one), b"x/0/0", 0, START_MS))
    said = []
    for worker in (plain, state):
        worker.control(request())
        said.append(next(r for r in live(worker, range(40), 1.0) if isinstance(r, OptimizerRecommendation)))
    assert said[1].model_version == f"{said[0].model_version}+{model.manifest.model_version}"
    where = GROUPS["hde"]
    after = {c.parameter: c.after for c in said[1].changes}
    chosen = [after.get(p.name, float(v)) for p, v in zip(PARAMETERS[where], DEFAULT[where], strict=True)]
    if any(name.startswith("hde") for name in after):
        surface, prior = priors["hde"].surfaces[17, :, PERFORMANCE], priors["hde"]
        other = {c.parameter: c.after for c in said[0].changes}
        naive = [other.get(p.name, float(v)) for p, v in zip(PARAMETERS[where], DEFAULT[where], strict=True)]
        assert surface[prior.nearest(chosen)] >= surface[prior.nearest(naive)]
    assert said[1].improvement_pct != said[0].improvement_pct


class Shelf(dict[str, OnnxModel]):
    """Models that verified."""

    def admits(self, announcement: Any) -> bool:
        return True


def test_without_a_champion_nothing_is_added(priors: dict[str, Prior]) -> None:
    learned = Learned(priors)
    assert not learned.gains()
    assert learned.version == ""


def test_what_helps_nothing_misses_its_gate(priors: dict[str, Prior], tmp_path: Path) -> None:
    result = trained(rollouts(priors, 60, alike=False, seed=3), tmp_path)
    assert isinstance(result.exception, GateFailed)
    assert msgspec.json.decode(result.stdout)["gates"][0]["passed"] is False
    assert (tmp_path / "out" / "report.md").exists()
    other = trained(rollouts(priors, 60, alike=False, seed=3), tmp_path, "--error-ratio", "10")
    assert other.exit_code == 0
    assert msgspec.json.decode(other.stdout)["gates"][0]["limit"] == 10


def test_a_few_rollouts_teach_nothing(priors: dict[str, Prior], tmp_path: Path) -> None:
    result = trained(rollouts(priors, LEAST_ROLLOUTS - 2, alike=True), tmp_path)
    assert isinstance(result.exception, ConfigError)


@pytest.mark.parametrize(("n", "enough"), [(LEAST_ROLLOUTS - 2, False), (30, True)])
def test_the_sidecar_keeps_rollouts_and_learns_from_them(
    priors: dict[str, Prior], tmp_path: Path, n: int, enough: bool
) -> None:
    told = rollouts(priors, n, alike=True)
    archive = Archive(tmp_path / "topics")
    for topic, records in zip((OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT), told, strict=True):
        archive.add(topic, records, [f"t/0/{k}" for k in range(len(records))])
    archive.write(1)
    path = export(archive, "optimizer", 30 * DAY_MS, tmp_path)
    assert (path is not None) == enough
    if path is not None:
        out = tmp_path / "out"
        result = CliRunner().invoke(optimizer, ["--data", str(path), "--out", str(out), "--json"])
        assert result.exit_code == 0, result.output
        assert msgspec.json.decode(result.stdout)["rollouts"] == len(read_rollouts(*told, priors))
