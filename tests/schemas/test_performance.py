"""The order of the 27 features is said once, and the schema says it too."""

from __future__ import annotations

from schemas.glossary import meaning_of
from schemas.performance import LAGS, PERFORMANCE_FEATURES, QUANTILES


def test_there_are_27() -> None:
    assert len(set(PERFORMANCE_FEATURES)) == len(PERFORMANCE_FEATURES) == 27
    assert (len(QUANTILES), len(LAGS)) == (6, 5)


def test_consumers_read_the_order_in_the_schema() -> None:
    meaning = meaning_of("PerformanceFeatures", "features")
    assert meaning is not None
    assert meaning.doc.endswith(", in this order: " + ", ".join(PERFORMANCE_FEATURES))
