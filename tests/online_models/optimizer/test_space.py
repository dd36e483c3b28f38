"""Actions and limits: nothing that can be set lies outside, whatever went in."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.optimizer.space import (
    DEFAULT,
    GROUPS,
    MAXIMUM,
    MINIMUM,
    MOVE,
    N_ACTIONS,
    N_STATE,
    STATE,
    act,
    snap,
    to_unit,
)
from schemas.optimizer import PARAMETERS

STATES = 1_000_000


def test_thirty_five_inputs_have_their_own_names() -> None:
    assert len(set(STATE)) == N_STATE == 35
    assert [name.removeprefix("parameter_") for name in STATE[:9]] == [p.name for p in PARAMETERS]


def test_a_million_random_states_never_cross_a_hard_limit() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0.5, 2.0, (STATES, 9)) * (MAXIMUM - MINIMUM) + MINIMUM
    values[rng.random((STATES, 9)) < 0.01] = np.inf
    values[rng.random((STATES, 9)) < 0.01] = -np.inf
    values[rng.random((STATES, 9)) < 0.01] = np.nan
    moved = snap(values)
    for _ in range(3):
        moved = act(moved, rng.integers(0, N_ACTIONS, STATES))
    assert (moved >= MINIMUM).all()
    assert (moved <= MAXIMUM).all()
    for k, parameter in enumerate(PARAMETERS):
        if parameter.spacing:
            places = (moved[:, k] - parameter.minimum) / parameter.spacing
            np.testing.assert_array_equal(places, np.round(places))


@pytest.mark.parametrize("action", range(N_ACTIONS))
def test_an_action_moves_its_parameter_only_and_a_step_at_most(action: int) -> None:
    moved = act(DEFAULT[None], np.array([action]))[0]
    which = action // 2
    off = moved - DEFAULT
    assert (np.flatnonzero(off) == [which]).all()
    assert np.sign(off[which]) == (1 if action % 2 else -1)
    assert abs(off[which]) <= MOVE[which] + 0.5 * PARAMETERS[which].spacing


@pytest.mark.parametrize("action", range(N_ACTIONS))
def test_at_a_limit_nothing_changes_outward(action: int) -> None:
    limit = (MAXIMUM if action % 2 else MINIMUM)[None]
    np.testing.assert_array_equal(act(limit, np.array([action])), limit)


def test_the_defaults_may_be_set_and_the_groups_cover_all() -> None:
    np.testing.assert_array_equal(snap(DEFAULT), DEFAULT)
    assert [k for where in GROUPS.values() for k in range(9)[where]] == list(range(9))
    assert ((to_unit(DEFAULT) >= 0) & (to_unit(DEFAULT) <= 1)).all()
