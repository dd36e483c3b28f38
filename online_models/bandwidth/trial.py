"""How trained models did that do not decide, or not everywhere: a shadow, and a challenger on its links.

Errors are in each link's scale, so that links of any size count alike, and ten at most. Forecasts that
taught are judged: some three per link and horizon.
"""

from __future__ import annotations

from typing import Any, Final

from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.expert import CLIP
from online_models.bandwidth.waiting import NEVER, STEP

TRIAL: Final = (
    ("shadow_now", "i8"),
    ("shadow_judged", "i8"),
    ("shadow_error", "f8"),
    ("shadow_bar", "f8"),
    ("arm_judged", "i8", (2,)),
    ("arm_error", "f8", (2,)),
    ("arm_bar", "f8", (2,)),
)
"""Fields of what the links of a type share, kept here: which shadow there is, and sums over its judged answers, of all
targets, beside what was published then; likewise what was published on links of the champion and of the challenger,
beside persistence."""


@njit(cache=True)
def judge_trial(link: Any, model: Any, k: int, m: int, truth: float, published: float, persistence: float) -> None:
    """Add what lesson `k` shows of target `m`.

    Parameters
    ----------
    truth
        What came, in the lesson's scale against its level.
    published, persistence
        Errors of the forecast and of its bar.
    """
    if model.shadow_now and link.lesson_shadow_by[k] == model.shadow_now and link.lesson_shadow[k, m] != NEVER:
        model.shadow_judged += 1
        model.shadow_error += min(abs(STEP * link.lesson_shadow[k, m] - truth), CLIP)
        model.shadow_bar += min(published, CLIP)
    if link.lesson_trained[k, m] != NEVER:
        arm = 0 if link.epoch == model.epoch else 1
        model.arm_judged[arm] += 1
        model.arm_error[arm] += min(published, CLIP)
        model.arm_bar[arm] += min(persistence, CLIP)


def renew_shadow(models: NDArray[Any], number: int) -> None:
    """Begin anew: there is another shadow, or none (0)."""
    models["shadow_now"] = number
    for name in ("shadow_judged", "shadow_error", "shadow_bar"):
        models[name] = 0


def renew_arms(models: NDArray[Any]) -> None:
    """Begin anew with the arms: another champion or challenger serves."""
    for name in ("arm_judged", "arm_error", "arm_bar"):
        models[name] = 0
