"""The audit fails for what was found, and says when nobody could be asked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.deploy.audit import judge

CLEAN = {"name": "click", "version": "8.1.7", "vulns": []}
SKIPPED = {"name": "numpy", "skip_reason": "Dependency not found on PyPI and could not be audited: numpy (2.0.0)"}
BAD: dict[str, Any] = {
    "name": "aiohttp", "version": "3.9.0",
    "vulns": [{"id": "PYSEC-2024-24", "fix_versions": ["3.9.2"], "aliases": ["CVE-2024-23334"], "description": "..."},
              {"id": "GHSA-1", "fix_versions": [], "aliases": [], "description": "..."}],
}  # fmt: skip
TRACE = """Traceback (most recent call last):
requests.exceptions.ConnectionError: HTTPSConnectionPool(host='pypi.org', port=443): Max retries exceeded
"""


@pytest.mark.parametrize(
    ("packages", "code", "say"),
    [
        ([CLEAN], 0, "1 of 1 packages audited, 0 known"),
        ([CLEAN, SKIPPED], 0, "1 of 2 packages audited"),
        ([SKIPPED, SKIPPED], 0, "not audited: the index here knows no advisories of any of 2"),
        ([], 0, "not audited"),
        ([CLEAN, BAD], 1, "aiohttp 3.9.0: PYSEC-2024-24, mended in 3.9.2\naiohttp 3.9.0: GHSA-1, mended in no version"),
    ],
)
def test_what_was_found_decides(packages: list[dict[str, Any]], code: int, say: str) -> None:
    verdict = judge(json.dumps({"dependencies": packages, "fixes": []}), "")
    assert verdict.exit_code == code
    assert say in verdict.text


@pytest.mark.parametrize(
    ("stdout", "stderr", "code", "say"),
    [
        ("", TRACE, 0, "not audited: no advisories could be asked for (ConnectionError)"),
        ("", "pip_audit: error: unrecognized arguments", 1, "pip-audit failed"),
        ("[]", "", 1, "pip-audit failed"),
    ],
)
def test_only_a_network_that_is_not_there_is_forgiven(stdout: str, stderr: str, code: int, say: str) -> None:
    verdict = judge(stdout, stderr)
    assert (verdict.exit_code, say in verdict.text) == (code, True)
