"""docker-compose.yml against the compose specification, and against what there is: commands, settings, ports, files."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner
from compose_spec import PyCompose

from streams.cli import dwcp
from streams.settings import Settings
from tests.deploy.compose import DEPLOY, ROOT, compose, environment, ours, services

SERVICES = sorted(services())
LONG_RUNNING = sorted(set(SERVICES) - {"topics"})


def test_it_is_what_the_specification_allows() -> None:
    parsed = PyCompose.from_json(json.dumps(compose()))
    assert sorted(parsed.service_names()) == SERVICES
    broken = compose()
    broken["services"]["kafka"]["healthchek"] = {}
    with pytest.raises(ValueError, match="healthchek"):
        PyCompose.from_json(json.dumps(broken))


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_limited_and_without_rights(name: str) -> None:
    service = services()[name]
    tag = service["image"].rpartition(":")[2]
    assert re.match(r"v?\d+\.\d+\.\d+$", tag), "a whole version, not a moving tag"
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}
    assert service.get("user", "").partition(":")[0] != "0"
    assert all(str(port).startswith("127.0.0.1:") for port in service.get("ports", [])), "published on loopback only"
    if name in (*ours(), "prometheus", "grafana"):
        assert service["read_only"]
        assert int(service["user"].partition(":")[0]) > 0


@pytest.mark.parametrize("name", LONG_RUNNING)
def test_what_runs_for_long_comes_back_and_stops_in_order(name: str) -> None:
    service = services()[name]
    assert service["restart"] == "unless-stopped"
    assert name == "fleet" or service["stop_grace_period"]
    assert name == "fleet" or service["healthcheck"]["test"]


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_waits_for_exists_and_can_come(name: str) -> None:
    for other, how in services()[name].get("depends_on", {}).items():
        need = "healthcheck" if how["condition"] == "service_healthy" else "command"
        assert need in services()[other]
        assert "profiles" not in services()[other], "it would never be started"


@pytest.mark.parametrize("name", SERVICES)
def test_every_mount_is_a_declared_volume_or_a_file_of_ours(name: str) -> None:
    for mount in services()[name].get("volumes", []):
        source = mount.partition(":")[0]
        assert (ROOT / source).is_file() if source.startswith(".") else source in compose()["volumes"]
        assert not source.startswith(".") or mount.endswith(":ro")


@pytest.mark.parametrize("name", ours())
def test_settings_are_ones_that_there_are(name: str) -> None:
    Settings.from_environment(environment(name))  # an unknown DWCP_* would be refused


@pytest.mark.parametrize("name", [n for n in ours() if services()[n]["command"][0] == "dwcp"])
def test_a_command_is_one_that_there_is_and_takes_its_options(name: str) -> None:
    command = services()[name]["command"][1:]
    options = [part for part in command if part.startswith("--")]
    names = [part for part in command[:2] if part.isalpha()]
    shown = CliRunner().invoke(dwcp, [*names, "--help"])
    assert shown.exit_code == 0, shown.output
    assert all(option in shown.output for option in options)


def test_ports_are_those_that_services_listen_on() -> None:
    listening = {name: environment(name)["DWCP_WEB_PORT"] for name in ("worker-1", "worker-2")}
    for name, port in listening.items():
        assert services()[name]["ports"][0].endswith(f":{port}")
        assert f":{port}/health/ready" in " ".join(services()[name]["healthcheck"]["test"])
        assert f'"{name}:{port}"' in (DEPLOY / "prometheus.yml").read_text()
    port = environment("sidecar")["DWCP_SIDECAR_PORT"]
    assert f":{port}/metrics" in " ".join(services()["sidecar"]["healthcheck"]["test"])
    assert f'"sidecar:{port}"' in (DEPLOY / "prometheus.yml").read_text()
    brokers = {environment(name)["BROKER_URL"] for name in ours()}
    (address,) = {url.removeprefix("kafka://") for url in brokers}
    assert f"INTERNAL://{address}" in services()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]


def test_the_image_has_the_user_that_runs_it_and_the_folders_that_are_mounted() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    for name in ours():
        assert f"USER {services()[name]['user']}" in dockerfile
        for mount in services()[name].get("volumes", []):
            assert mount.split(":")[1] in dockerfile
