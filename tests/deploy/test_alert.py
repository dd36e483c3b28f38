"""Alert rules and dashboards: valid, firing when they should, and about metrics that a worker exposes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app import app
from offline.sidecar.metric import Metrics as SidecarMetrics
from streams.metric import LABELLED, PBA_GAUGES
from tests.deploy.compose import DEPLOY, ROOT

ALERTS = DEPLOY / "alerts.yml"
BOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
OF_PROMETHEUS = {"up"}
WORDS = {"sum", "avg", "max", "by", "on", "and", "group_left", "rate", "increase", "histogram_quantile"}


def exposed() -> set[str]:
    """Sample names of a worker and of the sidecar."""
    names = set(PBA_GAUGES) | {f"dwcp_{name}" for name in LABELLED}  # shown once a state has seen links and scores
    text = app.metrics.render() + generate_latest(SidecarMetrics().registry)
    for family in text_string_to_metric_families(text.decode()):
        ending = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        names |= {family.name + end for end in ending}
    return names


def gauges() -> set[str]:
    """Names that the states' gauges have: `dwcp_state{name=...}`."""
    found: set[str] = set()
    for agent in app.declared.values():
        found |= set(agent.state().gauges())
    return found


def queries() -> list[tuple[str, str]]:
    rules = yaml.safe_load(ALERTS.read_text())["groups"]
    found = [(rule["alert"], rule["expr"]) for group in rules for rule in group["rules"]]
    for board in BOARDS:
        for panel in json.loads(board.read_text())["panels"]:
            found += [(f"{board.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


@pytest.mark.parametrize(("where", "query"), queries())
def test_a_query_asks_for_what_a_worker_exposes(where: str, query: str) -> None:
    bare = re.sub(r'"[^"]*"', "", query)
    bare = re.sub(r"(by|on) \([^)]*\)|\[[^]]*\]|\{[^}]*\}", "", bare)
    names = set(re.findall(r"[a-zA-Z_][a-zA-Z0-9_]*", bare)) - WORDS
    assert names
    assert names <= exposed() | OF_PROMETHEUS, where
    for name in re.findall(r'dwcp_state\{name="([^"]*)"\}', query):
        assert name in gauges(), where


def test_labels_are_few_and_never_a_node_or_a_link() -> None:
    allowed = {"agent", "topic", "reason", "name", "model", "le"}  # the models that agents ask have four names
    for collector in app.metrics.registry._collector_to_names:
        assert set(getattr(collector, "_labelnames", ())) <= allowed, collector
    for family in text_string_to_metric_families(app.metrics.render().decode()):
        assert all(set(sample.labels) <= allowed for sample in family.samples), family.name


@pytest.mark.parametrize("board", BOARDS, ids=lambda path: path.stem)
def test_a_dashboard_asks_the_provisioned_source(board: Path) -> None:
    uid = yaml.safe_load((DEPLOY / "grafana" / "datasource.yml").read_text())["datasources"][0]["uid"]
    document = json.loads(board.read_text())
    assert {panel["datasource"]["uid"] for panel in document["panels"]} == {uid}
    spots = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in document["panels"]]
    assert len(set(spots)) == len(spots)


def runbook() -> dict[str, list[str]]:
    """What an alert means and what to do, by the alert, as the README has it."""
    section = (ROOT / "README.md").read_text().partition("### When an alert fires")[2].partition("\n### ")[0]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in section.splitlines() if "`Dwcp" in line]
    return {name: cells[1:] for cells in rows for name in re.findall(r"`(\w+)`", cells[0])}


def test_the_runbook_has_an_entry_for_every_alert_and_for_no_other() -> None:
    rules = yaml.safe_load(ALERTS.read_text())["groups"]
    assert runbook().keys() == {rule["alert"] for group in rules for rule in group["rules"]}
    for name, (meaning, answer) in runbook().items():
        assert meaning, name
        assert answer, name


def promtool(*args: Any) -> str:
    if shutil.which("promtool") is None:
        if os.environ.get("CI"):
            pytest.fail("CI runs these tests: no promtool (apt-get install prometheus)")
        pytest.skip("no promtool")
    done = subprocess.run(["promtool", *map(str, args)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_promtool_finds_nothing_wrong() -> None:
    assert "16 rules found" in promtool("check", "rules", ALERTS)
    promtool("check", "config", DEPLOY / "prometheus.yml")


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    text = (Path(__file__).parent / "alerts_test.yml").read_text()
    (tmp_path / "test.yml").write_text(text.replace("ALERTS", str(ALERTS)))
    promtool("test", "rules", tmp_path / "test.yml")
