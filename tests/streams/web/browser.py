"""The browser that pages are looked at in."""

from __future__ import annotations

import os
import shutil

import pytest

BROWSERS = ("chromium-headless-shell", "chromium")


def browser() -> str:
    """A headless Chromium; without one the test is skipped, and fails in CI."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        reason = "no chromium-headless-shell (apt-get install chromium-headless-shell)"
        if os.environ.get("CI"):
            pytest.fail(f"CI runs these tests: {reason}")
        pytest.skip(reason)
    return found
