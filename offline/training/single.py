"""What one answer costs: time of a single row, and memory of a loaded model."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from online_models.onnx_model import OnnxModel
from schemas.error import InfraError

CALLS: Final = 1000
WARM: Final = 100

_PROBE: Final = """
import sys
import numpy as np
from online_models.onnx_model import open_session, run_session

def resident_kb():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))

content = open(sys.argv[1], "rb").read()
x = np.ones((1, int(sys.argv[2])), np.float32)
before = resident_kb()
session = open_session(content)
for _ in range(50):
    run_session(session, x)
print(max(resident_kb() - before, 0) / 1000 + len(content) / 1e6)
"""


def p99_ms(model: OnnxModel, x: NDArray[np.float32]) -> float:
    """99th percentile of the processor time that a single row takes, ms, over a thousand.

    Sessions run in the calling thread, so this is the time on a core that is free; the
    clock on the wall would show what else the machine does.

    Parameters
    ----------
    x
        Rows to take in turn, `[n, d]`.
    """
    times = np.empty(WARM + CALLS)
    for k in range(WARM + CALLS):
        row = x[k % len(x)][None]
        began = time.thread_time_ns()
        model.predict(row)
        times[k] = time.thread_time_ns() - began
    return float(np.percentile(times[WARM:], 99)) / 1e6


def memory_mb(path: Path, width: int) -> float:
    """What a process of its own needs more once it has loaded a model and answered, MB, the file's bytes included.

    Parameters
    ----------
    path
        The model's file.
    width
        Columns of its input.

    Raises
    ------
    InfraError
        When that process fails.
    """
    command = [sys.executable, "-c", _PROBE, str(path), str(width)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise InfraError(f"measuring the memory of {path} failed: {found.stderr.strip()[-300:]}")
    return float(found.stdout)
