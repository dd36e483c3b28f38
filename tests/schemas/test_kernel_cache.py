"""Compiled kernels find a place wherever there is room."""

from __future__ import annotations

from pathlib import Path

import numba
import pytest

from schemas import kernel_cache
from schemas.error import ConfigError


@pytest.fixture(autouse=True)
def unchanged() -> object:
    before = numba.config.CACHE_DIR
    yield
    numba.config.CACHE_DIR = before


def test_the_folder_is_named_by_the_sources(tmp_path: Path) -> None:
    numba.config.CACHE_DIR = str(tmp_path)
    folder = tmp_path / kernel_cache.source_digest()
    assert kernel_cache.isolate() == folder
    assert kernel_cache.isolate() == folder


def test_a_module_of_any_depth_counts(tmp_path: Path) -> None:
    digests = set()
    for constant in (1, 2):
        module = tmp_path / str(constant) / "room" / "inner" / "kernel.py"
        module.parent.mkdir(parents=True)
        module.write_text(f"A = {constant}")
        digests.add(kernel_cache.source_digest((tmp_path / str(constant) / "room",)))
    assert len(digests) == 2


@pytest.mark.parametrize("place", ["/proc/nowhere", "/dev/null/inside"])
def test_what_cannot_be_written_is_passed_over(place: str) -> None:
    numba.config.CACHE_DIR = place
    assert kernel_cache.isolate().name.startswith("dwcp-kernel-")


def test_what_is_too_small_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    numba.config.CACHE_DIR = str(tmp_path)
    monkeypatch.setattr(kernel_cache, "_ROOM_BYTES", 1 << 60)
    monkeypatch.setattr(kernel_cache, "source_digest", lambda: "none-such")
    with pytest.raises(ConfigError, match="NUMBA_CACHE_DIR"):
        kernel_cache.isolate()
