"""Payloads are real bytes, and what the bank says of them was measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from offline.simulator.bank import LEVELS, Bank, cache_path, entropy_bits, measure, open_bank, repetition_pct
from offline.simulator.delta import BLOCK_BYTES, decode, encode
from offline.simulator.payload import PayloadSeries, generated, machine
from schemas.error import ConfigError, InfraError
from schemas.field import PAYLOAD_TYPES

SERIES = generated(7, 64 * 1024)


@pytest.mark.parametrize("series", SERIES, ids=lambda s: s.name)
@pytest.mark.parametrize("level", LEVELS)
def test_what_was_encoded_is_decoded(series: PayloadSeries, level: int) -> None:
    previous = b""
    for payload in series.versions:
        assert decode(encode(payload, previous, level).data, previous) == payload
        previous = payload


@pytest.mark.parametrize("payload", [b"", b"x", b"ab" * BLOCK_BYTES, bytes(BLOCK_BYTES + 1)])
@pytest.mark.parametrize("previous", [b"", b"y", bytes(3 * BLOCK_BYTES)])
def test_odd_sizes_are_decoded(payload: bytes, previous: bytes) -> None:
    assert decode(encode(payload, previous, 3).data, previous) == payload


def test_hit_rate_counts_blocks_of_the_baseline() -> None:
    rng = np.random.default_rng(1)
    blocks = [rng.bytes(BLOCK_BYTES) for _ in range(8)]
    changed = [*blocks[2:], rng.bytes(BLOCK_BYTES), rng.bytes(BLOCK_BYTES)]
    assert encode(b"".join(changed), b"".join(blocks), 1).hit_rate == 75.0


def test_generated_payloads_repeat_and_differ_by_seed() -> None:
    assert generated(7, 64 * 1024) == SERIES
    assert generated(8, 64 * 1024) != SERIES


@pytest.mark.parametrize("series", SERIES, ids=lambda s: s.name)
def test_versions_change(series: PayloadSeries) -> None:
    assert len(set(series.versions)) == len(series.versions) > 1


def test_machine_payloads_are_of_this_machine() -> None:
    series = machine(1, 64 * 1024, limit=2)
    assert {s.payload_type for s in series} >= {"file"}
    assert all(len(s.versions[0]) == 64 * 1024 for s in series)


def test_every_kind_of_payload_is_in_the_bank(bank: Bank) -> None:
    for payload_type in range(len(PAYLOAD_TYPES)):
        for level in range(len(LEVELS)):
            for has_baseline in (False, True):
                rows = bank.rows[bank.group(payload_type, has_baseline, level)]
                assert rows
                assert {(r.payload_type, r.has_baseline, r.level) for r in rows} == {
                    (PAYLOAD_TYPES[payload_type], has_baseline, LEVELS[level])
                }


def test_measurements_are_plausible(bank: Bank) -> None:
    incompressible = [r for r in bank.rows if r.name == "ciphertext-stream"]
    assert all(0.97 < r.ratio < 1.01 and r.entropy > 7.9 and r.hit_rate == 0 for r in incompressible)
    delta = [r for r in bank.rows if r.name == "heap-0.002" and r.has_baseline]
    assert all(r.ratio > 20 and r.hit_rate > 80 for r in delta)
    assert all(r.hit_rate == 0 for r in bank.rows if not r.has_baseline)
    assert min(r.cpu_ms_per_mib for r in bank.rows) > 0


def test_a_bank_survives_its_file(bank: Bank, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bank.json"
    bank.save(path)
    assert Bank.load(path).fingerprint == bank.fingerprint
    assert [p.name for p in path.parent.iterdir()] == ["bank.json"]


def test_an_opened_bank_is_measured_once(tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    first = open_bank(path, "generated")
    assert open_bank(path, "generated").fingerprint == first.fingerprint
    assert open_bank(path, "generated", rebuild=True).fingerprint != first.fingerprint


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b'{"format":99,"source":"x","rows":[]}'])
def test_a_file_that_is_no_bank_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bank.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="--bank"):
        open_bank(path)


def test_a_bank_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InfraError, match="--bank"):
        open_bank(tmp_path / "file" / "bank.json", "generated")


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_path("all").parent == tmp_path / "dwcp"


def test_a_bank_without_some_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="groups"):
        measure([s for s in SERIES if s.payload_type != "stream"], "generated", repeats=1)


@pytest.mark.parametrize(("payload", "bits"), [(b"", 0.0), (bytes(100), 0.0), (b"ab" * 50, 1.0), (b"abcd" * 9, 2.0)])
def test_entropy(payload: bytes, bits: float) -> None:
    assert entropy_bits(payload) == pytest.approx(bits)


@pytest.mark.parametrize(("blocks", "percent"), [(1, 0.0), (2, 50.0), (4, 75.0)])
def test_repetition(blocks: int, percent: float) -> None:
    assert repetition_pct(b"x" * 512 * blocks) == percent
