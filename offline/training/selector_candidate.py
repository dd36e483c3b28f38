"""Candidates for the selector: a logistic regression, boosted trees, and the 19-64-32-16-2 network.

All see the same `z`, and examples weigh what a wrong choice loses. The
temperature that calibrates them is fitted on the validation part with equal weights; it moves no decision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from offline.training.selector_graph import Body, layers, trees
from schemas.error import ConfigError

F32 = NDArray[np.float32]

LAYERS: Final = (64, 32, 16, 2)
DROPOUT: Final = (0.3, 0.2)
EPOCHS: Final = 30
PATIENCE: Final = 5
BATCH: Final = 1024
LEARNING_RATE: Final = 2e-3
TREES: Final = 120
EVEN: Final = 0.2
"""Weight of an example whose two sides are worth the same; one where all is lost weighs 1."""

_TEMPERATURES: Final = np.geomspace(0.25, 4.0, 81)

Say = Callable[[str], None]


class Examples(NamedTuple):
    """What a candidate learns from, or is judged on: `z` `[n, 47]`, labels, margins and weights `[n]`."""

    z: F32
    label: NDArray[np.int64]
    margin: NDArray[np.float64]
    weight: NDArray[np.float64]

    def regret(self, logit: NDArray[Any]) -> float:
        """Mean share of utility lost by deciding on the sign."""
        return float(np.where((logit > 0) != (self.label == 1), self.margin, 0.0).mean())


class Fitted(NamedTuple):
    """A trained candidate: its graph's body, its own logits for `z`, and its course: epoch or tree, loss or regret."""

    name: str
    body: Body
    logit: Callable[[F32], NDArray[np.float64]]
    course: list[tuple[int, float, float]]


Fit = Callable[[Examples, Examples, int, Say], Fitted]


def fit_logistic(training: Examples, validation: Examples, seed: int, say: Say) -> Fitted:
    """Logistic regression on logs."""
    model = LogisticRegression(max_iter=500, random_state=seed)
    model.fit(training.z, training.label, training.weight)
    say("logistic: fitted")
    return Fitted("logistic", layers([(model.coef_.T, model.intercept_)]), model.decision_function, [])


def fit_boosting(training: Examples, validation: Examples, seed: int, say: Say) -> Fitted:
    """Histogram gradient boosting (scikit-learn); the number of trees is the best on the validation part."""
    model = HistGradientBoostingClassifier(
        max_iter=TREES, learning_rate=0.12, max_leaf_nodes=31, l2_regularization=1.0, early_stopping=False,
        random_state=seed,
    )  # fmt: skip
    model.fit(training.z, training.label, training.weight)
    course = [
        (k, training.regret(a), validation.regret(b))
        for k, (a, b) in enumerate(
            zip(model.staged_decision_function(training.z), model.staged_decision_function(validation.z), strict=True),
            1,
        )
    ]
    best = int(np.argmin([regret for _, _, regret in course])) + 1
    say(f"boosting: {best} of {TREES} trees kept")
    base = float(np.ravel(model._baseline_prediction)[0])
    model._predictors = model._predictors[:best]
    return Fitted("boosting", trees(model._predictors, base), model.decision_function, course)


def fit_network(training: Examples, validation: Examples, seed: int, say: Say) -> Fitted:
    """The network of the documents: ReLU, batch norm and dropout after the first two layers.

    Its first layer sees `z`, which is the 19 features with categories as one-hot. The weights kept are
    those with the least regret on the validation part.

    Raises
    ------
    ConfigError
        Without PyTorch.
    """
    try:
        import torch
    except ImportError as exc:
        raise ConfigError(
            "--candidate", "network", "trainable with PyTorch: pip install 'dwcp-streams[train]'"
        ) from exc
    torch.manual_seed(seed)
    torch.set_num_threads(1)  # layers this small are slower on more, and repeat bit for bit on one
    net = _network(torch, training.z.shape[1])
    optimizer = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=1e-4)
    loss = torch.nn.CrossEntropyLoss(reduction="none")
    z, y = torch.from_numpy(training.z), torch.from_numpy(training.label)
    w = torch.from_numpy(training.weight.astype(np.float32))
    batch = min(BATCH, len(z))
    course: list[tuple[int, float, float]] = []
    best, kept = np.inf, {k: v.clone() for k, v in net.state_dict().items()}
    for epoch in range(1, EPOCHS + 1):
        net.train()
        for rows in torch.randperm(len(z))[: len(z) // batch * batch].split(batch):
            optimizer.zero_grad()
            (loss(net(z[rows]), y[rows]) * w[rows]).mean().backward()
            optimizer.step()
        here, there = (part.regret(_logit(torch, net, part.z)) for part in (training, validation))
        course.append((epoch, here, there))
        say(f"network: epoch {epoch}, validation regret {there:.4f}")
        if there < best:
            best, kept = there, {k: v.clone() for k, v in net.state_dict().items()}
        elif epoch - int(np.argmin([row[2] for row in course])) > PATIENCE:
            break
    net.load_state_dict(kept)
    net.eval()
    return Fitted("network", layers(_dense(torch, net)), lambda z: _logit(torch, net, z), course)


CANDIDATES: Final[dict[str, Fit]] = {"logistic": fit_logistic, "boosting": fit_boosting, "network": fit_network}


def fit_temperature(logit: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    """The divisor of logits `[n]` with the least log loss.

    >>> fit_temperature(np.array([9.0, 9.0, 9.0, -9.0]), np.array([1, 1, 0, 0])) > 2
    True
    """
    sign = np.where(label == 1, 1.0, -1.0)
    losses = [float(np.logaddexp(0.0, -sign * logit / t).mean()) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _network(torch: Any, width: int) -> Any:
    parts: list[Any] = []
    for k, out in enumerate(LAYERS):
        parts.append(torch.nn.Linear(width, out))
        if k < len(LAYERS) - 1:
            parts.append(torch.nn.ReLU())
        if k < len(DROPOUT):
            parts += [torch.nn.BatchNorm1d(out), torch.nn.Dropout(DROPOUT[k])]
        width = out
    return torch.nn.Sequential(*parts)


def _logit(torch: Any, net: Any, z: F32) -> NDArray[np.float64]:
    net.eval()
    with torch.no_grad():
        out = net(torch.from_numpy(z)).numpy().astype(np.float64)
    return np.asarray(out[:, 1] - out[:, 0])


def _dense(torch: Any, net: Any) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """The network's layers, each batch norm folded into the dense layer after it."""
    found: list[tuple[NDArray[Any], NDArray[Any]]] = []
    scale, shift = 1.0, 0.0
    for part in net:
        if isinstance(part, torch.nn.BatchNorm1d):
            spread = np.sqrt(part.running_var.double().numpy() + part.eps)
            scale = part.weight.detach().double().numpy() / spread
            shift = part.bias.detach().double().numpy() - part.running_mean.double().numpy() * scale
        elif isinstance(part, torch.nn.Linear):
            weight = part.weight.detach().double().numpy()
            found.append(
                (
                    (weight * scale).T,
                    part.bias.detach().double().numpy() + weight @ np.broadcast_to(shift, weight.shape[1]),
                )
            )
            scale, shift = 1.0, 0.0
    return found
