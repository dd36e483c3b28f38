"""Recurrent forecasters in PyTorch: the compact one, and the one with attention.

Both read the window with LSTMs and join the link's context before the dense layers; both
answer differences to the running level in units of the link's scale.
"""

from __future__ import annotations

import io
import warnings
from typing import Any, Final

import onnx
import torch
from torch import Tensor, nn

from offline.training.bandwidth_graph import OPSET
from online_models.bandwidth.trained_input import CONTEXT_NAMES, Window

CONTEXT: Final = len(CONTEXT_NAMES)
TARGETS: Final = 4


class WindowNetwork(nn.Module):
    """Splits `z` `[n, d]` into context `[n, 65]` and window `[n, samples, features]`."""

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.samples, self.features = window.samples, len(window.features)

    def split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Context and window."""
        return z[:, :CONTEXT], z[:, CONTEXT:].reshape(-1, self.samples, self.features)


class CompactNetwork(WindowNetwork):
    """LSTM 128-64 on 10 x 6, dense 32."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.first = nn.LSTM(self.features, 128, batch_first=True)
        self.second = nn.LSTM(128, 64, batch_first=True)
        self.dense = nn.Sequential(nn.Linear(64 + CONTEXT, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, TARGETS))

    def forward(self, z: Tensor) -> Tensor:
        """Differences `[n, 4]`."""
        context, window = self.split(z)
        states, _ = self.first(window)
        states, _ = self.second(states)
        answer: Tensor = self.dense(torch.cat([states[:, -1], context], dim=1))
        return answer


class AttentionNetwork(WindowNetwork):
    """LSTM 256-192-128 on 30 x 34, additive attention of 128, dense 192-128-64 with a skip from attention."""

    def __init__(self, window: Window) -> None:
        super().__init__(window)
        self.first = nn.LSTM(self.features, 256, batch_first=True)
        self.second = nn.LSTM(256, 192, batch_first=True)
        self.third = nn.LSTM(192, 128, batch_first=True)
        self.drop = nn.Dropout(0.2)
        self.key = nn.Linear(128, 128)
        self.score = nn.Linear(128, 1, bias=False)
        self.dense = nn.Sequential(
            nn.Linear(128 + CONTEXT, 192), nn.ReLU(), nn.Dropout(0.2), nn.Linear(192, 128), nn.ReLU(),
            nn.Dropout(0.1), nn.Linear(128, 64), nn.ReLU(),
        )  # fmt: skip
        self.out = nn.Linear(64 + 128, TARGETS)

    def forward(self, z: Tensor) -> Tensor:
        """Differences `[n, 4]`."""
        context, window = self.split(z)
        states, _ = self.first(window)
        states, _ = self.second(self.drop(states))
        states, _ = self.third(self.drop(states))
        weight = torch.softmax(self.score(torch.tanh(self.key(states))), dim=1)
        attended = (weight * states).sum(dim=1)
        answer: Tensor = self.out(torch.cat([self.dense(torch.cat([attended, context], dim=1)), attended], dim=1))
        return answer


NETWORKS: Final[dict[str, type[WindowNetwork]]] = {"lstm": CompactNetwork, "lstm-attention": AttentionNetwork}


def export_network(network: WindowNetwork, width: int) -> onnx.ModelProto:
    """The network as an ONNX graph from `z` `[n, width]` to `difference` `[n, 4]`."""
    network = network.cpu().eval()
    buffer = io.BytesIO()
    options: dict[str, Any] = {"dynamo": False}  # the other exporter needs onnxscript, for the same LSTM nodes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations, and that a batch of any size was traced
        torch.onnx.export(
            network, (torch.zeros(2, width),), buffer, input_names=["z"], output_names=["difference"],
            dynamic_axes={"z": {0: "n"}, "difference": {0: "n"}}, opset_version=OPSET, **options,
        )  # fmt: skip
    return onnx.load_from_string(buffer.getvalue())
