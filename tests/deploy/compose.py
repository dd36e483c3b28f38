"""docker-compose.yml as an engine would read it: merged, with the defaults of its variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "streams" / "deploy"
OURS = "dwcp-streams"


def compose() -> dict[str, Any]:
    """The whole document."""
    text = (ROOT / "docker-compose.yml").read_text()
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    assert "${" not in str(document), "a variable without a default"
    return document


def services() -> Mapping[str, dict[str, Any]]:
    """Services by name."""
    found: Mapping[str, dict[str, Any]] = compose()["services"]
    return found


def ours() -> list[str]:
    """Names of the services that run our image."""
    return [name for name, service in services().items() if service["image"].startswith(OURS)]


def environment(name: str) -> dict[str, str]:
    """What a service sees of ours, an empty variable counting as none."""
    return {k: v or "" for k, v in services()[name].get("environment", {}).items()}
