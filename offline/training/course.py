"""How a network is trained; apart from the training, which takes seconds to import."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Course:
    """How to train.

    Parameters
    ----------
    seed
        Of weights, order and dropout.
    epochs
        At most.
    patience
        Epochs without a better validation loss before it ends.
    checkpoint
        Where to keep what an interrupted training goes on from; None to keep nothing.
    resume
        Go on from there, if there is one.
    board
        Folder for TensorBoard.
    """

    seed: int = 0
    epochs: int = 30
    patience: int = 5
    checkpoint: Path | None = None
    resume: bool = False
    board: Path | None = None
