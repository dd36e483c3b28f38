"""What models say of rows: each answer its row's own, and no answer where there is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from online_models.answer import ask, blank
from schemas.error import ModelError

X = np.arange(11, dtype=np.float32)[:, None]


class Halves:
    """Says half of what it is asked; fails on a batch that has one of some numbers in it."""

    manifest: Any = None

    def __init__(self, *fails: float) -> None:
        self.fails, self.calls = fails, 0

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        self.calls += 1
        if np.isin(x, self.fails).any():
            raise ModelError("not this one")
        return {"half": x / 2, "pair": np.hstack([x, x])}


@pytest.mark.parametrize("fails", [(), (3.0,), (0.0, 10.0), tuple(range(11))])
def test_a_row_that_fails_costs_no_other_its_answer(fails: tuple[float, ...]) -> None:
    half, pair = ask(Halves(*fails), X, {"half": (), "pair": (2,)})
    void = np.isin(X[:, 0], fails)
    np.testing.assert_array_equal(half, np.where(void, np.nan, X[:, 0] / 2))
    assert (pair.shape, np.isnan(pair).all(axis=1).tolist()) == ((11, 2), void.tolist())
    alone = np.concatenate([ask(Halves(*fails), row[None], {"half": ()})[0] for row in X])
    np.testing.assert_array_equal(half, alone)


def test_without_failure_it_is_asked_once() -> None:
    model = Halves()
    ask(model, X, {"half": ()})
    assert model.calls == 1


@pytest.mark.parametrize("outputs", [{"other": ()}, {"half": (), "pair": (3,)}])
def test_who_lacks_an_output_says_nothing(outputs: dict[str, tuple[int, ...]]) -> None:
    assert all(np.isnan(found).all() for found in ask(Halves(), X, outputs))
    assert [found.shape for found in ask(None, X, outputs)] == [(11, *shape) for shape in outputs.values()]
    assert [len(found) for found in ask(Halves(), X[:0], outputs)] == [0] * len(outputs)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("score", np.nan, 0), ("score", -np.inf, 0), ("score", 1e30, 1), ("probability_amst", 1.00001, 1),
     ("probability_amst", 1.01, 0), ("probability", -0.01, 0), ("probability", np.nan, 0)],
)  # fmt: skip
def test_what_no_answer_can_be_is_none_in_every_output(name: str, value: float, said: int) -> None:
    values = np.full((3, 1), 0.5, np.float32)
    values[1] = value
    found = blank({name: values, "beside": np.ones(3), "label": np.arange(3)}, 3)
    assert np.isnan(found[name][:, 0]).tolist() == np.isnan(found["beside"]).tolist() == [False, not said, False]
    assert found["label"].tolist() == [0, 1, 2]
    assert values[1] == np.float32(value) or np.isnan(value)
