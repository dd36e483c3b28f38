"""The documents' deep Q network: 256-256 with layer norm, replay, target network, double Q-learning, Huber loss.

The published one has batch norm, which a batch of one cannot pass. Everything else is as written:
discount 0.99, 500,000 transitions, epsilon from 1 by 0.995 to 0.01, a replay of 100,000.

References
----------
H. van Hasselt, A. Guez, D. Silver, Deep reinforcement learning with double Q-learning, AAAI 2016.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.optimizer.fleet import Fleet, Reading, make_state
from offline.optimizer.grid import Grid
from offline.optimizer.simple import Trying
from online_models.optimizer.prior import COST, CPU, MEMORY, PERFORMANCE
from online_models.optimizer.space import DEFAULT, GROUPS, N_ACTIONS, N_STATE, act
from schemas.error import ConfigError

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]

HIDDEN: Final = 256
REPLAY: Final = 100_000
TRANSITIONS: Final = 500_000
COPIES: Final = 64
EPISODE_STEPS: Final = 50
BATCH: Final = 256
GAMMA: Final = 0.99
RATE: Final = 5e-4
EPSILON: Final = (1.0, 0.01, 0.98)
"""First, last, and factor after each of the copies' episodes (0.995 when one runs at a time)."""
TARGET_EVERY: Final = 250


class Network:
    """The trained network in plain numpy; the same as its ONNX graph, which onnxruntime runs three times as fast.

    Parameters
    ----------
    layers
        Weights, biases, and the scales and shifts of layer norm: `w0 b0 g0 h0 w1 b1 g1 h1 w2 b2`.
    """

    def __init__(self, layers: Mapping[str, NDArray[Any]]) -> None:
        self.layers: dict[str, F32] = {name: np.ascontiguousarray(one, np.float32) for name, one in layers.items()}

    def __call__(self, x: NDArray[Any]) -> F32:
        """Values of all actions, `[n, 18]`."""
        h = np.asarray(x, np.float32)
        for k in range(2):
            h = h @ self.layers[f"w{k}"] + self.layers[f"b{k}"]
            h = h - h.mean(axis=1, keepdims=True)
            h *= 1.0 / np.sqrt(np.einsum("nd,nd->n", h, h)[:, None] / HIDDEN + 1e-5)
            h = np.maximum(h * self.layers[f"g{k}"] + self.layers[f"h{k}"], 0.0)
        return np.asarray(h @ self.layers["w2"] + self.layers["b2"])

    def to_bytes(self) -> bytes:
        """As an npz file of half precision."""
        buffer = io.BytesIO()
        halves: dict[str, Any] = {name: one.astype(np.float16) for name, one in self.layers.items()}
        np.savez_compressed(buffer, **halves)
        return buffer.getvalue()

    @classmethod
    def load(cls, path: Path | None = None) -> Network:
        """One that was trained; by default that which comes with the package.

        Raises
        ------
        ConfigError
            When there is none.
        """
        at = path or resources.files("offline.optimizer") / "measured" / "dqn.npz"
        try:
            with np.load(io.BytesIO(at.read_bytes()), allow_pickle=False) as held:
                return cls(dict(held))
        except (OSError, ValueError) as exc:
            raise ConfigError("--dqn", str(at), f"a file that `dwcp optimize train` wrote ({exc})") from exc


def train(grids: Mapping[str, Grid], seed: int, say: Callable[[str], None], transitions: int = TRANSITIONS) -> Network:
    """Train on the training contexts, on a GPU if there is one."""
    import torch  # only training needs it

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rng = np.random.default_rng(seed)
    online, target = (_make(torch).to(device) for _ in range(2))
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), RATE)
    fleet = Fleet(grids, COPIES, rng)
    state = fleet.reset().astype(np.float32)
    held_x, held_y = np.zeros((2, REPLAY, N_STATE), np.float32)
    held_action, held_reward = np.zeros(REPLAY, np.int64), np.zeros(REPLAY, np.float32)
    epsilon, filled, total = EPSILON[0], 0, 0.0
    for step in range(transitions // COPIES):
        with torch.no_grad():
            greedy = online(torch.from_numpy(state).to(device)).argmax(1).cpu().numpy()
        action = np.where(rng.random(COPIES) < epsilon, rng.integers(0, N_ACTIONS, COPIES), greedy)
        after, reward = fleet.step(action)
        at = np.arange(filled, filled + COPIES) % REPLAY
        held_x[at], held_action[at], held_reward[at], held_y[at] = state, action, reward, after
        filled, total = filled + COPIES, total + float(reward.mean())
        state = after.astype(np.float32)
        if (step + 1) % EPISODE_STEPS == 0:
            state = fleet.reset().astype(np.float32)
            epsilon = max(EPSILON[1], epsilon * EPSILON[2])
        if filled < 4 * BATCH:
            continue
        some = rng.integers(0, min(filled, REPLAY), BATCH)
        x, y = (torch.from_numpy(one[some]).to(device) for one in (held_x, held_y))
        with torch.no_grad():
            ahead = target(y).gather(1, online(y).argmax(1, keepdim=True))[:, 0]
            wanted = torch.from_numpy(held_reward[some]).to(device) + GAMMA * ahead
        said = online(x).gather(1, torch.from_numpy(held_action[some]).to(device)[:, None])[:, 0]
        loss = torch.nn.functional.smooth_l1_loss(said, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % TARGET_EVERY == 0:
            target.load_state_dict(online.state_dict())
        if step % 1000 == 999:
            say(f"dqn: {filled} transitions, reward {total / 1000:.3f} a step, epsilon {epsilon:.2f}")
            total = 0.0
    return Network({name: one.detach().cpu().numpy() for name, one in _layers(online).items()})


def _make(torch: Any) -> Any:
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(N_STATE, HIDDEN), nn.LayerNorm(HIDDEN), nn.ReLU(),
        nn.Linear(HIDDEN, HIDDEN), nn.LayerNorm(HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, N_ACTIONS),
    )  # fmt: skip


def _layers(net: Any) -> dict[str, Any]:
    found = {}
    for k, at in enumerate((0, 3, 6)):
        found[f"w{k}"], found[f"b{k}"] = net[at].weight.T, net[at].bias
    for k, at in enumerate((1, 4)):
        found[f"g{k}"], found[f"h{k}"] = net[at].weight, net[at].bias
    return found


def export_onnx(network: Network) -> bytes:
    """The network as an ONNX graph: `state [n, 35]` to `value [n, 18]`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = [numpy_helper.from_array(one, name) for name, one in network.layers.items()]
    nodes, at = [], "state"
    for k in range(3):
        nodes += [helper.make_node("Gemm", [at, f"w{k}", f"b{k}"], [f"linear{k}" if k < 2 else "value"])]
        if k < 2:
            norm = helper.make_node("LayerNormalization", [f"linear{k}", f"g{k}", f"h{k}"], [f"norm{k}"], epsilon=1e-5)
            nodes += [norm, helper.make_node("Relu", [f"norm{k}"], [f"hidden{k}"])]
            at = f"hidden{k}"
    inputs = [helper.make_tensor_value_info("state", TensorProto.FLOAT, ["n", N_STATE])]
    outputs = [helper.make_tensor_value_info("value", TensorProto.FLOAT, ["n", N_ACTIONS])]
    graph = helper.make_graph(nodes, "dqn", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class DeepQ(Trying):
    """The network, one greedy action of the environment's six per trial; settings already tried are passed over."""

    def __init__(self, grid: Grid, network: Network) -> None:
        super().__init__(grid)
        self._network = network
        self._group = list(GROUPS).index(grid.name)
        self._where = GROUPS[grid.name]

    def begin(self, about: F64, start: F64, rng: Generator) -> None:
        """All other parameters are at their defaults, and stay there."""
        super().begin(about, start, rng)
        self._values = DEFAULT.copy()
        self._values[self._where] = start

    def propose(self) -> F64:
        """One step from the last trial, to somewhere new where that is possible."""
        if not self.tried:
            return self.start
        known = {tuple(one.tolist()) for one in self.tried}
        for action in np.argsort(-self._network(self._state())[0]).tolist():
            if self._where.start <= action // 2 < self._where.stop:
                moved = act(self._values[None], np.array([action]))[0]
                if tuple(moved[self._where].tolist()) not in known:
                    self._values = moved
                    break
        return np.asarray(self._values[self._where].copy())

    def _state(self) -> F64:
        seen = np.array(self.seen)
        off = seen - seen[0]
        level = off[:, PERFORMANCE] / len(GROUPS)
        now, before = (self._reading(seen[k], off[k]) for k in (-1, max(len(seen) - 2, 0)))
        reward = 10.0 * (level[-1] - level[max(len(level) - 2, 0)])
        since = len(level) - 1 - int(np.argmax(level))
        at = [np.array([x]) for x in (max(level.max(), 0.0), reward, float(len(level) - 1), float(since))]
        return make_state(self._values[None], now, before, *at)

    def _reading(self, seen: F64, off: F64) -> Reading:
        parts = []
        for value, usual in (
            (off[PERFORMANCE], 0.0),
            (off[COST], 0.0),
            (seen[CPU], np.log(30.0)),
            (seen[MEMORY], np.log(45.0)),
        ):
            one = np.full((1, len(GROUPS)), usual)
            one[0, self._group] = value
            parts.append(one)
        return Reading(*parts)
