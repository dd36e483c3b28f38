"""Networks: ONNX answers as PyTorch does, interrupted trainings go on, the best epoch is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline.training.bandwidth_input import make_input, split_rows
from offline.training.bandwidth_model import fit_model
from offline.training.bandwidth_trace import trace
from offline.training.course import Course
from online_models.bandwidth.state import NetworkState
from online_models.bandwidth.trained_input import COMPACT, ENHANCED, Window
from online_models.onnx_model import OnnxModel, open_session, run_session
from schemas.error import ConfigError
from schemas.network import HORIZON_MS
from tests.offline.training.link_samples import make_records, table_of
from tests.online_models.forecaster_model import Shelf, announce, seal_graph
from tests.online_models.stream import samples_of

torch = pytest.importorskip("torch", reason="networks are trained with PyTorch: the train extra is not installed")
lstm = pytest.importorskip("offline.training.lstm")
lstm_fit = pytest.importorskip("offline.training.lstm_fit")

torch.set_num_threads(1)  # threads that wait for each other are slow beside other tests

NETWORKS = [("lstm", COMPACT), ("lstm-attention", ENHANCED)]


def _data(window: Window, n: int = 64, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, len(window.input_names))).astype(np.float32)
    return z, (z[:, :4] + 0.5 * z[:, -4:]).astype(np.float32)


@pytest.mark.parametrize(("name", "window"), NETWORKS)
@pytest.mark.parametrize("rows", [1, 7])
def test_onnx_answers_as_torch_does(name: str, window: Window, rows: int) -> None:
    torch.manual_seed(0)
    network = lstm.NETWORKS[name](window).eval()
    z, _ = _data(window, rows)
    body = lstm.export_network(network, z.shape[1])
    with torch.no_grad():
        expected = network(torch.from_numpy(z)).numpy()
    found = run_session(open_session(body.SerializeToString()), z)["difference"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "window", "least", "most"), [
    ("lstm", COMPACT, 100_000, 150_000), ("lstm-attention", ENHANCED, 800_000, 1_000_000),
])  # fmt: skip
def test_networks_have_the_size_of_the_contract(name: str, window: Window, least: int, most: int) -> None:
    size = sum(weight.numel() for weight in lstm.NETWORKS[name](window).parameters())
    assert least < size < most


def test_a_network_learns() -> None:
    said: list[str] = []
    _, history = lstm_fit.fit_network(
        "lstm", COMPACT, *_data(COMPACT, 800), *_data(COMPACT, 200, 1), Course(epochs=6, patience=6), said.append
    )
    assert history.validation[-1] < 0.9 * history.validation[0]
    assert len(said) == 6
    assert "epoch 6 of 6" in said[-1]


def test_an_interrupted_training_goes_on_as_if_it_was_not(tmp_path: Path) -> None:
    data = (*_data(COMPACT, 150), *_data(COMPACT, 100, 1))

    def fit(epochs: int, path: Path, resume: bool) -> dict[str, np.ndarray]:
        # The pace follows from the number of epochs, so an interrupted one is cut off, not asked for fewer.
        course = Course(epochs=4, checkpoint=path, resume=resume)
        count = 0

        def say(line: str) -> None:
            nonlocal count
            count += 1
            if count == epochs:
                raise KeyboardInterrupt

        try:
            network, _ = lstm_fit.fit_network("lstm", COMPACT, *data, course, say)
        except KeyboardInterrupt:
            return {}
        return {name: value.numpy() for name, value in network.state_dict().items()}

    whole = fit(9, tmp_path / "whole.pt", resume=False)
    assert fit(2, tmp_path / "cut.pt", resume=False) == {}
    resumed = fit(9, tmp_path / "cut.pt", resume=True)
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value)


def test_a_checkpoint_of_another_training_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.pt"
    data = (*_data(COMPACT, 100), *_data(COMPACT, 100, 1))
    lstm_fit.fit_network("lstm", COMPACT, *data, Course(seed=1, epochs=1, checkpoint=path), lambda line: None)
    with pytest.raises(ConfigError, match="--resume"):
        lstm_fit.fit_network(
            "lstm", COMPACT, *data, Course(seed=2, epochs=1, checkpoint=path, resume=True), lambda line: None
        )


def test_training_stops_when_validation_gains_no_more() -> None:
    z, y = _data(COMPACT, 200)
    other = np.random.default_rng(5).normal(size=(100, 4)).astype(np.float32)
    _, history = lstm_fit.fit_network(
        "lstm", COMPACT, z, 5 * y, z[:100], other, Course(epochs=40, patience=2), lambda line: None
    )
    assert len(history.validation) < 40
    assert history.since_best == 2


def test_tensorboard_gets_the_losses(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is optional")
    data = (*_data(COMPACT, 100), *_data(COMPACT, 100, 1))
    lstm_fit.fit_network("lstm", COMPACT, *data, Course(epochs=1, board=tmp_path / "board"), lambda line: None)
    assert list((tmp_path / "board").iterdir())


class Recorded:
    """A model that keeps what it was asked."""

    def __init__(self, model: OnnxModel) -> None:
        self.manifest, self._model, self.asked = model.manifest, model, []

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        self.asked.append(x)
        return self._model.predict(x)


def test_a_trained_lstm_serves_in_a_worker_on_rows_as_it_was_trained_on() -> None:
    records = sorted(make_records(400, 3), key=lambda record: record.timestamp)
    seen = trace(table_of(records), HORIZON_MS)
    training, validation, _ = split_rows(seen, HORIZON_MS, 600)
    fitted = fit_model("lstm", seen, training, validation, Course(epochs=1), lambda line: None)
    shelf, state = Shelf(), NetworkState()
    announce(state, shelf, seal_graph(fitted.content, "lstm-1", COMPACT))
    (sha256,) = shelf
    shelf[sha256] = recorded = Recorded(shelf[sha256])  # type: ignore[assignment]
    state.step(samples_of(records))
    row = np.flatnonzero(seen.age >= COMPACT.samples - 1)
    row = row[np.lexsort((seen.link[row], seen.time_ms[row]))]
    expected = make_input(seen, COMPACT, row)
    asked = np.concatenate(recorded.asked)
    asked = asked[np.concatenate(([True], (np.diff(asked, axis=0) != 0.0).any(axis=1)))]  # rows that fill up a question
    np.testing.assert_allclose(asked, expected, rtol=1e-6, atol=1e-12)
    gauges = state.gauges()
    assert gauges["forecast_model_asked"][0] == len(records)
    assert gauges["forecast_model_failed"][0] == 3 * (COMPACT.samples - 1)
