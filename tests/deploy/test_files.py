"""The files of deploy/ fit each other, the command line, the service's metrics, and the programs that read them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Metric

from flood_seg.cli.guard import guard
from flood_seg.cli.table import VERBS
from flood_seg.config.compose import compose
from flood_seg.config.schema import ServeConfig
from flood_seg.service.monitoring.metrics import Metrics

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
ALERTS = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/flood-seg.json").read_text("utf-8"))
COMPOSE = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text("utf-8"))
OURS = ("segmentation_service", "worker", "segmentation_service_dev")
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def manifests() -> dict[tuple[str, str], Any]:
    """The Kubernetes objects by kind and name."""
    files = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text("utf-8"))["resources"]
    objects = [one for file in files for one in yaml.safe_load_all((DEPLOY / "kubernetes" / file).read_text("utf-8"))]
    return {(one["kind"], one["metadata"]["name"]): one for one in objects}


def container(name: str) -> dict[str, Any]:
    (found,) = manifests()["Deployment", name]["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def dockerfile_command() -> list[str]:
    (line,) = re.findall(r"^CMD (.*)", (DEPLOY / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    return [str(word) for word in json.loads(line)]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Each command line of a container of ours."""
    for name in OURS:
        yield f"compose {name}", shlex.split(COMPOSE["services"][name]["command"].replace("${SERVE_ARGUMENTS:-}", ""))
    for name in ("segmentation-service", "worker"):
        yield f"kubernetes {name}", container(name)["args"]
    yield "Dockerfile", dockerfile_command()


@pytest.mark.parametrize(("where", "words"), list(commands()))
def test_the_commands_of_containers_are_valid(where: str, words: list[str]) -> None:
    checked = guard(VERBS, words, "flood-seg")
    assert checked
    assert checked[0].name == ("worker" if "worker" in where else "serve")
    config = compose("serve", [word for word in words if re.match(r"[a-z_.]+=", word)], ServeConfig).serve
    assert (config.work_dir, config.jobs.queue) == (
        "/data",
        "sqlite" if where == "Dockerfile" else "redis://redis:6379/0",
    )
    if checked[0].name == "serve":
        assert words[words.index("--host") + 1] == "0.0.0.0"  # in a container, 127.0.0.1 reaches nobody
        assert (config.jobs.workers == 0) == (
            where != "Dockerfile"
        )  # elsewhere the workers are containers of their own
    if where.startswith("kubernetes"):
        spec = manifests()["Deployment", where.split()[1]]["spec"]["template"]["spec"]
        assert spec["terminationGracePeriodSeconds"] > config.drain + config.stop_timeout


def test_probes_ask_what_the_service_answers_without_a_key() -> None:
    probed = container("segmentation-service")
    assert probed["ports"] == [{"name": "http", "containerPort": 8000}]
    paths = {name: probed[name]["httpGet"]["path"] for name in ("startupProbe", "readinessProbe", "livenessProbe")}
    # A service that stops is not ready, and must not be restarted for it.
    assert paths == {
        "startupProbe": "/health/live", "readinessProbe": "/health/ready", "livenessProbe": "/health/live",
    }  # fmt: skip
    objects = manifests()
    for name in ("segmentation-service", "redis"):
        labels = objects["Deployment", name]["spec"]["template"]["metadata"]["labels"]
        assert objects["Service", name]["spec"]["selector"].items() <= labels.items()
    assert ("PersistentVolumeClaim", "data") in objects


@pytest.mark.parametrize("name", ["segmentation-service", "worker", "redis"])
def test_pods_have_few_rights(name: str) -> None:
    pod = manifests()["Deployment", name]["spec"]["template"]["spec"]
    security = container(name)["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}


def docker_compose() -> list[str]:
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.skip("Docker Compose is not installed")


def test_compose_reads_its_file(tmp_path: Path) -> None:
    deploy = tmp_path / "deploy"
    shutil.copytree(DEPLOY, deploy)
    command = docker_compose()
    environment = {name: value for name, value in os.environ.items() if name != "GRAFANA_ADMIN_PASSWORD"}
    refused = subprocess.run([*command, "config"], cwd=deploy, env=environment, capture_output=True, text=True)
    assert refused.returncode and "set it in deploy/.env" in refused.stderr
    example = (deploy / ".env.example").read_text("utf-8")
    (deploy / ".env").write_text(example.replace("GRAFANA_ADMIN_PASSWORD=", "GRAFANA_ADMIN_PASSWORD=secret"))
    profiles = [word for name in ("dev", "triton", "mlflow", "minio") for word in ("--profile", name)]
    done = subprocess.run([*command, *profiles, "config"], cwd=deploy, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout)["services"]
    assert set(services) == {*OURS, "redis", "prometheus", "grafana", "triton", "mlflow", "minio"}
    assert services["grafana"]["environment"]["GF_SECURITY_ADMIN_PASSWORD"] == "secret"
    always = {name for name, service in services.items() if not service.get("profiles")}
    assert always == {"segmentation_service", "worker", "redis", "prometheus", "grafana"}
    for name in OURS:
        assert services[name]["read_only"] and services[name]["cap_drop"] == ["ALL"]


def test_ports_open_on_this_machine_alone_until_told_otherwise() -> None:
    published = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(published) == 7
    assert all(port.startswith(("${BIND:-127.0.0.1}:", "127.0.0.1:")) for port in published)


def test_prometheus_asks_the_service_of_the_stack() -> None:
    scraped = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text("utf-8"))
    job = next(one for one in scraped["scrape_configs"] if one["job_name"] == "flood-seg")
    (target,) = job["static_configs"][0]["targets"]
    host, port = target.split(":")
    assert COMPOSE["services"][host]["ports"][0].endswith(f":{port}")
    secret = Path(job["authorization"]["credentials_file"])
    assert secret.parent == Path("/run/secrets") and secret.name in COMPOSE["services"]["prometheus"]["secrets"]
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text("utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["datasources"][0]["uid"]}


def known_metrics() -> set[str]:
    suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}

    def names(metric: Metric) -> set[str]:
        return {f"{metric.name}{suffix}" for suffix in suffixes[metric.type]}

    return set().union(*map(names, Metrics().registry.collect()))


def test_alerts_and_panels_name_metrics_that_exist() -> None:
    alerts = " ".join(rule["expr"] for group in ALERTS["groups"] for rule in group["rules"])
    panels = " ".join(target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    tests = (PROMETHEUS / "alerts_test.yml").read_text("utf-8")
    for text in (alerts, panels, tests):
        named = set(re.findall(r"\b(?:flood_seg|process)_\w+", text))
        assert len(named) > 5
        assert not named - known_metrics()


def test_panels_neither_overlap_nor_repeat_themselves() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells) and all(x < 24 for x, _ in cells)
    for key in ("id", "title"):
        assert len({panel[key] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def promtool(*words: str, cwd: Path = PROMETHEUS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], cwd=cwd, capture_output=True, text=True, check=False)


@needs_promtool
def test_prometheus_accepts_its_files_and_the_alerts_fire_as_tested() -> None:
    for words in (
        ("check", "config", "--syntax-only", "prometheus.yml"),
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
    ):
        done = promtool(*words)
        assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize("expression", ["vector(0) > 1", "vector(1)"])
def test_alerts_that_never_fire_or_always_are_noticed(expression: str, tmp_path: Path) -> None:
    changed = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text("utf-8"))
    rules = [rule for group in changed["groups"] for rule in group["rules"]]
    for rule in rules:
        rule["expr"] = expression
    (tmp_path / "alerts.yml").write_text(yaml.safe_dump(changed), "utf-8")
    shutil.copy(PROMETHEUS / "alerts_test.yml", tmp_path)
    done = promtool("test", "rules", "alerts_test.yml", cwd=tmp_path)
    assert done.returncode == 1
    assert set(re.findall(r"alertname: (\w+)", done.stdout + done.stderr)) == {rule["alert"] for rule in rules}
