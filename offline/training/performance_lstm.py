"""The documented recurrent predictor: a 3-layer bidirectional LSTM of 128 with attention over 60 steps.

For comparison only: it is not exported, because workers make inputs of features, not sequences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline.training.performance_data import Rows
from offline.training.performance_model import Fitted, Platt, Scaler

NAME = "lstm"
_BATCH = 512
_RATE = 1e-3
_PATIENCE = 3


class DegradationNetwork(nn.Module):
    """Reads the window `[n, 60, metric]`, joins the inputs `[n, d]`, answers log-odds and changes `[n, 1 + steps]`."""

    def __init__(self, metrics: int, inputs: int, steps: int) -> None:
        super().__init__()
        self.read = nn.LSTM(metrics, 128, num_layers=3, bidirectional=True, batch_first=True, dropout=0.2)
        self.score = nn.Sequential(nn.Linear(256, 64), nn.Tanh(), nn.Linear(64, 1, bias=False))
        self.dense = nn.Sequential(nn.Linear(256 + inputs, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 1 + steps))

    def forward(self, window: Tensor, x: Tensor) -> Tensor:
        """Log-odds first, then changes."""
        states, _ = self.read(window)
        attended = (torch.softmax(self.score(states), dim=1) * states).sum(dim=1)
        answer: Tensor = self.dense(torch.cat([attended, x], dim=1))
        return answer


def fit_lstm(
    training: Rows, validation: Rows, steps: Sequence[int], seed: int, epochs: int, say: Callable[[str], None]
) -> tuple[Fitted, list[float]]:
    """Fit with early stopping, on a GPU where there is one; the method, and its validation loss per epoch.

    Parameters
    ----------
    training, validation
        Rows with their sequences.
    steps
        To predict changes at.
    seed
        Of weights, order and dropout.
    epochs
        At most.
    say
        Is told how far it got.
    """
    torch.manual_seed(seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scaler = Scaler.fit(training.x)
    network = DegradationNetwork(training.sequence.shape[2], training.x.shape[1], len(steps)).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=_RATE, weight_decay=1e-4)
    at = np.array(steps) - 1
    best, kept, losses = math.inf, network.state_dict(), []
    for epoch in range(epochs):
        network.train()
        order = np.random.default_rng([seed, epoch]).permutation(len(training))
        for first in range(0, len(order), _BATCH):
            some = training.take(order[first : first + _BATCH])
            optimizer.zero_grad(set_to_none=True)
            loss = _loss(_answer(network, scaler, some, device), some, at, device)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        losses.append(_judge(network, scaler, validation, at, device))
        say(f"lstm on {device.type}, epoch {epoch + 1} of {epochs}: validation loss {losses[-1]:.4f}")
        if losses[-1] < best:
            best, kept = losses[-1], {name: value.detach().clone() for name, value in network.state_dict().items()}
        if epoch - int(np.argmin(losses)) >= _PATIENCE:
            break
    network.load_state_dict(kept)
    network.eval()

    def answer(rows: Rows) -> NDArray[np.float64]:
        with torch.no_grad():
            parts = [
                _answer(network, scaler, rows.take(np.arange(k, min(k + 4 * _BATCH, len(rows)))), device).cpu().numpy()
                for k in range(0, len(rows), 4 * _BATCH)
            ]
        return np.concatenate(parts).astype(np.float64)

    platt = Platt.fit(answer(validation)[:, 0], validation.breach)
    return Fitted(NAME, lambda rows: answer(rows)[:, 0], lambda rows: answer(rows)[:, 1:], platt), losses


def _answer(network: nn.Module, scaler: Scaler, rows: Rows, device: torch.device) -> Tensor:
    window = torch.from_numpy(rows.sequence).to(device)
    x = torch.from_numpy(scaler.scaled(rows.x).astype(np.float32)).to(device)
    answer: Tensor = network(window, x)
    return answer


def _loss(answer: Tensor, rows: Rows, at: NDArray[np.int64], device: torch.device) -> Tensor:
    breach = torch.from_numpy(rows.breach.astype(np.float32)).to(device)
    change = torch.from_numpy(rows.change[:, at].astype(np.float32)).to(device)
    odds = nn.functional.binary_cross_entropy_with_logits(answer[:, 0], breach)
    return odds + 0.5 * nn.functional.l1_loss(answer[:, 1:], change)


@torch.no_grad()
def _judge(network: nn.Module, scaler: Scaler, rows: Rows, at: NDArray[np.int64], device: torch.device) -> float:
    network.eval()
    total = 0.0
    for k in range(0, len(rows), 4 * _BATCH):
        some = rows.take(np.arange(k, min(k + 4 * _BATCH, len(rows))))
        total += len(some) * float(_loss(_answer(network, scaler, some, device), some, at, device))
    return total / len(rows)
