"""The garbage collector's share of a worker's time.

A batch makes a dozen small containers per record, all freed by reference counts before the next. Python's
default looks for cycles after every 700 of them, and each time it comes to the oldest generation it walks
everything that compilers and libraries left behind: a third of a busy worker's time. Cycles are rare here
(exceptions, finished tasks), so looking for them a hundred times less often costs a few megabytes.
"""

from __future__ import annotations

import gc
from typing import Final

_THRESHOLDS: Final = (100_000, 20, 20)


def settle() -> None:
    """Never again walk what is there now, and seldom what comes."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
