"""Small trained forecasters, sealed as artifacts, and links on which they know more or less."""

from __future__ import annotations

import msgspec
import numpy as np

from offline.training.artifact import seal
from offline.training.bandwidth_graph import Graph, expert_column
from online_models.bandwidth.artifact import load_forecaster
from online_models.bandwidth.state import NetworkState
from online_models.bandwidth.trained_input import COMPACT, COMPACT_UNITS, NEWEST, Window
from online_models.experiment.trial import KIND as TRIAL
from online_models.onnx_model import OnnxModel
from online_models.served import KIND
from schemas.batch import Control
from schemas.experiment import ExperimentState
from schemas.model import Manifest, ModelAnnouncement
from schemas.network import HORIZON_MS, NetworkSample
from tests.online_models.stream import MINUTE_MS, START_MS, sample

QUEUE = "queue_depth@-0"


def weights(window: Window = NEWEST) -> np.ndarray:
    """Of a linear forecaster that says persistence, `[columns, 4]`."""
    found = np.zeros((len(window.input_names), 4), np.float32)
    at = expert_column("persistence")
    found[at : at + 4] = np.eye(4)
    return found


def informed() -> np.ndarray:
    """Throughput is ten times the queue: nearly true of `foretold`."""
    found = weights()
    found[:, 0] = 0.0
    found[NEWEST.input_names.index(QUEUE), 0] = 10.0
    return found


def misled() -> np.ndarray:
    """Throughput is 0."""
    found = weights()
    found[:, 0] = 0.0
    return found


def recalling() -> np.ndarray:
    """Throughput is what it was nine samples ago: true of `repeated`."""
    found = weights(COMPACT)
    found[:, 0] = 0.0
    found[COMPACT.input_names.index("bandwidth@-9"), 0] = COMPACT_UNITS[0]
    return found


def sealed(
    weight: np.ndarray,
    version: str = "v1",
    logarithm: bool = False,
    window: Window = NEWEST,
    horizon_ms: int = HORIZON_MS,
    output: str = "forecast",
) -> bytes:
    """An artifact; with `logarithm` the queue's is added, which has none at 0."""
    graph = Graph()
    product = graph.add("MatMul", "x", graph.constant(weight))
    if logarithm:
        at = graph.constant(np.array([window.input_names.index(QUEUE)]))
        product = graph.add("Add", product, graph.add("Log", graph.add("Gather", "x", at, axis=1)))
    graph.add("Identity", product, output=output)
    content = graph.model({"x": len(weight)}, {output: 4}).SerializeToString()
    return seal_graph(content, version, window, horizon_ms, output)


def seal_graph(
    content: bytes, version: str, window: Window, horizon_ms: int = HORIZON_MS, output: str = "forecast"
) -> bytes:
    """The artifact of a graph from `x` to `output`."""
    width = len(window.input_names)
    said = Manifest(
        model_name="bandwidth", model_version=version, feature_schema="f", feature_names=window.input_names,
        input_shape=[width], outputs=[output], trained_at=3, training_from=1, training_to=2, training_rows=10,
        training_data_sha256="0" * 64, metrics={}, gates=[], library_versions={},
        settings={"horizon_ms": str(horizon_ms)},
    )  # fmt: skip
    return seal(content, said, np.ones((4, width), np.float32))


class Shelf(dict[str, OnnxModel]):
    """Models by hash; all are admitted."""

    def admits(self, announcement: ModelAnnouncement) -> bool:
        return True


def announce(state: NetworkState, shelf: Shelf, content: bytes, stage: str = "champion") -> None:
    """Put a model on the shelf, and let the state learn of its stage."""
    model = load_forecaster(content)
    shelf[model.sha256] = model
    state.use(shelf)
    version = model.manifest.model_version
    said = ModelAnnouncement(
        id=f"bandwidth:{version}", timestamp=1, model_name="bandwidth", model_version=version, stage=stage,
        previous_stage=None, reason="", artifact="a", artifact_format="onnx", artifact_bytes=1,
        artifact_sha256=model.sha256, feature_schema="f", feature_schema_sha256="0" * 64, trained_at=3,
        training_from=1, training_to=2, training_rows=10, training_data_sha256="0" * 64, metrics={}, gates=[],
        library_versions={},
    )  # fmt: skip
    state.control(Control(KIND, msgspec.json.encode(said), b"dwcp.model.announcement.v1/0/1", 0, 1))


def serving(content: bytes) -> NetworkState:
    """A state that has seen nothing but the announcement of this champion."""
    state = NetworkState()
    announce(state, Shelf(), content)
    return state


def foretold(minutes: int, links: int = 2, seed: int = 0, empty: bool = False) -> list[NetworkSample]:
    """Links whose queue tells their throughput 15 minutes later; with `empty` it is 0 now and then."""
    rng = np.random.default_rng(seed)
    queue = rng.integers(10, 60, (minutes + 15, links))
    noise = rng.uniform(0.0, 50.0, queue.shape)
    if empty:
        queue[rng.random(queue.shape) < 0.02] = 0
    return [
        sample(
            START_MS + k * MINUTE_MS + 500 * j,
            rate=10.0 * float(queue[k, j]) + float(noise[k, j]),
            rtt=20.0 + float(rng.normal()),
            node_id=f"n{j}",
            link_type=("dc", "wan")[j % 2],
            queue_depth=int(queue[k + 15, j]),
        )
        for k in range(minutes)
        for j in range(links)
    ]


def repeated(minutes: int, links: int = 2, seed: int = 0) -> list[NetworkSample]:
    """Links whose throughput comes again every 24 minutes, so that 15 minutes ahead it is what it was 9 ago."""
    rate = np.random.default_rng(seed).uniform(100.0, 900.0, (24, links))
    return [
        sample(START_MS + k * MINUTE_MS + 500 * j, rate=float(rate[k % 24, j]), node_id=f"n{j}", link_type="wan")
        for k in range(minutes)
        for j in range(links)
    ]


def experiment(state: NetworkState, ramp_pct: int, treatment: str, status: str = "running") -> None:
    """Put a version on trial on a share of the links."""
    said = ExperimentState(
        id="e", timestamp=1, experiment_id="e", status=status, ramp_pct=ramp_pct, model_name="bandwidth",
        control_version="v1", treatment_version=treatment, primary_metric="error", started_at=1, stage_started_at=1,
        control_requests=0, treatment_requests=0, min_requests_per_arm=1, looks=0,
    )  # fmt: skip
    state.control(Control(TRIAL, msgspec.json.encode(said), b"dwcp.experiment.state.v1/0/1", 0, 1))
