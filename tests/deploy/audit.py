"""`make audit`: known vulnerabilities of what is installed here, as pip-audit finds them.

pip-audit counts a package that nobody could be asked about as one without
vulnerabilities, so behind an index without advisories everything looks well. Here that is
said, and is no failure: exit code 0 means that nothing was found, or that nobody
answered; 1 that something was found, or that pip-audit failed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Final, NamedTuple

COMMAND: Final = (sys.executable, "-m", "pip_audit", "--skip-editable", "--progress-spinner", "off", "-f", "json")
TIMEOUT_S: Final = 300

_NO_NETWORK: Final = (
    "ConnectionError",
    "ConnectTimeout",
    "ReadTimeout",
    "NameResolutionError",
    "ProxyError",
    "SSLError",
)


class Verdict(NamedTuple):
    """An exit code, and what to say."""

    exit_code: int
    text: str


def judge(stdout: str, stderr: str) -> Verdict:
    """What pip-audit's output comes to.

    Parameters
    ----------
    stdout
        Its JSON; anything else when it failed.
    stderr
        Why it failed.
    """
    try:
        packages = json.loads(stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError, TypeError):
        if why := next((name for name in _NO_NETWORK if name in stderr), None):
            return Verdict(0, f"not audited: no advisories could be asked for ({why})")
        return Verdict(1, f"pip-audit failed:\n{stderr[-2000:]}")
    asked = [one for one in packages if "vulns" in one]
    if not asked:
        return Verdict(0, f"not audited: the index here knows no advisories of any of {len(packages)} packages")
    found = [
        f"{one['name']} {one['version']}: {each['id']}, mended in {', '.join(each['fix_versions']) or 'no version yet'}"
        for one in asked
        for each in one["vulns"]
    ]
    counted = f"{len(asked)} of {len(packages)} packages audited, {len(found)} known vulnerabilities"
    return Verdict(int(bool(found)), "\n".join([*found, counted]))


def main() -> int:
    """Audit, and say what came of it."""
    try:
        done = subprocess.run(COMMAND, capture_output=True, text=True, timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        print(f"not audited: no answer within {TIMEOUT_S} s")
        return 0
    verdict = judge(done.stdout, done.stderr)
    print(verdict.text)
    return verdict.exit_code


if __name__ == "__main__":
    sys.exit(main())
