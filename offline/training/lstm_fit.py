"""Training of recurrent forecasters: early stopping, checkpoints, a history of losses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from offline.training.course import Course
from offline.training.lstm import NETWORKS, WindowNetwork
from online_models.bandwidth.trained_input import Window
from schemas.error import ConfigError

F32 = NDArray[np.float32]

BATCH: Final = 512
"""Rows per step, fewer where there are fewer than fifty such steps in an epoch."""

RATE: Final = 1e-3
DECAY: Final = 1e-4


@dataclass(slots=True)
class History:
    """Mean absolute difference in scales after each epoch, and the best epoch's weights."""

    training: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def since_best(self) -> int:
        """Epochs since the least validation loss."""
        return len(self.validation) - 1 - int(np.argmin(self.validation)) if self.validation else 0


def fit_network(
    name: str, window: Window, z: F32, y: F32, z_validation: F32, y_validation: F32, course: Course,
    say: Callable[[str], None],
) -> tuple[WindowNetwork, History]:  # fmt: skip
    """Fit a network of `NETWORKS` to differences `[n, 4]`; on a GPU where there is one.

    Returns
    -------
    The network with the best epoch's weights, and the losses.

    Raises
    ------
    ConfigError
        When the checkpoint to go on from is of another training.
    """
    torch.manual_seed(course.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = NETWORKS[name](window).to(device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    history = History()
    settings = {"name": name, "seed": course.seed, "width": z.shape[1], "rows": len(z)}
    if course.resume:
        _restore(course, settings, network, optimizer, history, device)
    data = [torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in (z, y, z_validation, y_validation)]
    with _board(course.board) as board:
        while len(history.validation) < course.epochs and history.since_best < course.patience:
            began, epoch = time.monotonic(), len(history.validation)
            for group in optimizer.param_groups:
                group["lr"] = RATE * 0.5 * (1.0 + math.cos(math.pi * epoch / max(course.epochs, 1)))
            history.training.append(_train(network, optimizer, data[0], data[1], course.seed + epoch))
            history.validation.append(_judge(network, data[2], data[3]))
            if history.since_best == 0:
                history.best = {key: value.detach().clone() for key, value in network.state_dict().items()}
            _save(course, settings, network, optimizer, history)
            board("loss/training", history.training[-1], epoch)
            board("loss/validation", history.validation[-1], epoch)
            say(
                f"{name} on {device.type}, epoch {epoch + 1} of {course.epochs}: training {history.training[-1]:.4f}, "
                f"validation {history.validation[-1]:.4f} ({history.since_best} since the best), "
                f"{time.monotonic() - began:.1f} s"
            )
    network.load_state_dict(history.best)
    return network, history


def _train(network: nn.Module, optimizer: torch.optim.Optimizer, z: Tensor, y: Tensor, seed: int) -> float:
    """One epoch in an order that follows from its seed, so that a resumed training takes the same; its mean loss."""
    network.train()
    torch.manual_seed(seed)
    order = torch.randperm(len(z)).to(z.device)
    total = torch.zeros((), device=z.device)
    size = min(max(len(z) // 50, 32), BATCH)
    for first in range(0, len(z), size):
        row = order[first : first + size]
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.l1_loss(network(z[row]), y[row])
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        total += loss.detach() * len(row)
    return float(total) / len(z)


@torch.no_grad()
def _judge(network: nn.Module, z: Tensor, y: Tensor) -> float:
    network.eval()
    total = 0.0
    for first in range(0, len(z), 4 * BATCH):
        row = slice(first, first + 4 * BATCH)
        total += float((network(z[row]) - y[row]).abs().sum())
    return float(total / y.numel())


def _save(
    course: Course, settings: dict[str, Any], network: nn.Module, optimizer: torch.optim.Optimizer, history: History
) -> None:
    if course.checkpoint is None:
        return
    course.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    partial = course.checkpoint.with_suffix(".partial")
    held = {"settings": settings, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(held | {"history": asdict(history)}, partial)
    partial.replace(course.checkpoint)


def _restore(
    course: Course, settings: dict[str, Any], network: nn.Module, optimizer: torch.optim.Optimizer, history: History,
    device: torch.device,
) -> None:  # fmt: skip
    path = course.checkpoint
    if path is None or not path.exists():
        return
    held = torch.load(path, map_location=device, weights_only=True)
    if held["settings"] != settings:
        raise ConfigError("--resume", str(held["settings"]), f"the same training: {settings}")
    network.load_state_dict(held["network"])
    optimizer.load_state_dict(held["optimizer"])
    for name, value in held["history"].items():
        setattr(history, name, value)


@contextmanager
def _board(folder: Path | None) -> Iterator[Callable[[str, float, int], None]]:
    if folder is None:
        yield lambda tag, value, step: None
        return
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as exc:
        raise ConfigError("--tensorboard", str(folder), f"usable with it: pip install tensorboard ({exc})") from exc
    writer = SummaryWriter(str(folder))
    try:
        yield writer.add_scalar
    finally:
        writer.close()
