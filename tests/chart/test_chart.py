"""The Helm chart: rendered by helm, checked against Kubernetes's schemas and our promises."""

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # ships no types

from deploy import environments, helm
from tests.unit.test_monitoring import published

CHART = helm.CHART
VERSIONS = ("1.32", "1.35", "1.37")
NAMES = {"image": {"repository": "registry.example/patchbay"}, "secret": "patchbay",
         "livekit": {"url": "ws://livekit-server.livekit.svc"}}  # fmt: skip
FULL: dict[str, Any] = {
    **NAMES,
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"DEFAULT_MODEL": "m", "MAX_CALLS": 100},
    "files": {"assistants.toml": "[desk]\n"},
    "worker": {"autoscaling": {"kind": "keda"}, "nodeSelector": {"pool": "calls"}},
    "http": {
        "autoscaling": {"enabled": True},
        "trustedProxies": "10.0.0.0/8",
        "ingress": {"enabled": True, "className": "nginx", "host": "voice.example",
                    "tlsSecret": "tls", "annotations": {"a.example/read-timeout": "3600"}},
    },
    "gateway": {"enabled": True, "autoscaling": {"enabled": True}},
    "vllm": {"enabled": True, "cacheSize": "100Gi", "secret": "hf", "extraArgs": ["--seed=1"],
             "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}]},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}],
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"a": "b"}}}],
    },
    "podMonitor": {"enabled": True, "keySecret": "watcher"},
}  # fmt: skip
CASES: Mapping[str, Mapping[str, Any]] = {
    "least": NAMES,
    "full": FULL,
    "cpu": {**NAMES, "worker": {"autoscaling": {"kind": "cpu"}},
            "networkPolicy": {"enabled": False}, "migrations": {"enabled": False}},
}  # fmt: skip
OF_OPERATORS = {"ScaledObject", "PodMonitor"}
"""Kinds that Kubernetes itself has no schema for."""

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(900)]  # helm is built once


def run_helm(folder: Path, values: Mapping[str, Any], *words: str) -> tuple[int, str]:
    """Runs helm over the chart with these values; returns its exit code and output."""
    file = folder / "values.json"
    file.write_text(json.dumps(values))
    done = subprocess.run(
        [helm.provide(), *words, CHART, "--values", file],
        capture_output=True,
        text=True,
        check=False,
        env={"HOME": str(folder), "PATH": ""},
    )
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def rendered(folder: Path, values: Mapping[str, Any]) -> list[dict[str, Any]]:
    words = ("template", "shop", "--namespace", "voice", "--kube-version", "1.35.0")
    code, output = run_helm(folder, values, *words)
    assert code == 0, output
    return [document for document in yaml.safe_load_all(output) if document]


@pytest.fixture(params=CASES)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> list[dict[str, Any]]:
    return rendered(tmp_path, CASES[request.param])


def of_kind(objects: Sequence[Mapping[str, Any]], kind: str) -> dict[str, Mapping[str, Any]]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def pods(objects: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yields the name and the specification of the pods of each workload."""
    for kind in ("Deployment", "Job"):
        for name, workload in of_kind(objects, kind).items():
            yield name, workload["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_of_kubernetes(
    objects: list[dict[str, Any]], tmp_path: Path, version: str
) -> None:
    python = environments.provide("kubernetes-validate", "Kubernetes's schemas")
    own = [each for each in objects if each["kind"] not in OF_OPERATORS]
    file = tmp_path / "objects.yaml"
    file.write_text(yaml.safe_dump_all(own))
    done = subprocess.run(
        [python, "-m", "kubernetes_validate", "--strict", "--kubernetes-version", version, file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" passed for resource ") == len(own), done.stdout


def test_helm_finds_no_fault(tmp_path: Path) -> None:
    for values in CASES.values():
        code, output = run_helm(tmp_path, values, "lint", "--strict")
        assert code == 0, output


def test_pods_may_do_nothing_but_their_work(objects: list[dict[str, Any]]) -> None:
    seen = 0
    for name, pod in pods(objects):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"].keys() == {"requests", "limits"}
            assert ":" in container["image"]
            assert not container["image"].endswith(":latest")
            written = {mount["mountPath"] for mount in container["volumeMounts"]}
            assert "/tmp" in written
            seen += 1
    assert seen >= 2


def test_secrets_are_named_and_never_made(objects: list[dict[str, Any]]) -> None:
    assert not of_kind(objects, "Secret")
    text = json.dumps(objects)
    for name in ("LIVEKIT_API_SECRET", "ENCRYPTION_KEYS", "DATABASE_URL", "HF_TOKEN"):
        assert name not in text
    for name, pod in pods(objects):
        sources = [source for c in pod["containers"] for source in c.get("envFrom", ())]
        assert any("secretRef" in source for source in sources) or name.endswith("-vllm")


def test_one_pod_of_a_part_leaves_at_a_time(objects: list[dict[str, Any]]) -> None:
    budgets = of_kind(objects, "PodDisruptionBudget")
    deployments = of_kind(objects, "Deployment")
    assert budgets.keys() == deployments.keys()
    for name, budget in budgets.items():
        labels = deployments[name]["spec"]["template"]["metadata"]["labels"]
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert budget["spec"]["maxUnavailable"] == 1


def test_a_pod_outlives_its_longest_call_or_the_hand_over(tmp_path: Path) -> None:
    keeps = {**NAMES, "worker": {"handOver": False, "drainSeconds": 3600}}
    for values, word in ((NAMES, True), (keeps, False)):
        worker = of_kind(rendered(tmp_path, values), "Deployment")["shop-patchbay-worker"]
        pod = worker["spec"]["template"]["spec"]
        [container] = pod["containers"]
        settings = {each["name"]: each.get("value") for each in container["env"]}
        assert pod["terminationGracePeriodSeconds"] > int(settings["WORKER_DRAIN_TIMEOUT"])
        assert ("--hand-over" in container["args"]) is word
    code, output = run_helm(tmp_path, {**NAMES, "worker": {"handOver": False}}, "template", "shop")
    assert code != 0
    assert "pods that end would cut calls off" in output


def test_a_model_server_ends_after_its_last_reply(tmp_path: Path) -> None:
    pod = dict(pods(rendered(tmp_path, FULL)))["shop-patchbay-vllm"]
    [container] = pod["containers"]
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    [drain] = [a for a in container["args"] if a.startswith("--shutdown-timeout=")]
    assert pod["terminationGracePeriodSeconds"] > waits + int(drain.partition("=")[2])


def test_every_part_has_a_network_policy(tmp_path: Path) -> None:
    objects = rendered(tmp_path, FULL)
    policies = of_kind(objects, "NetworkPolicy")
    assert policies.keys() == of_kind(objects, "Deployment").keys()
    for policy in policies.values():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
        blocks = [to["ipBlock"] for rule in policy["spec"]["egress"] for to in rule["to"]
                  if "ipBlock" in to]  # fmt: skip
        assert {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]} in blocks
    vllm = policies["shop-patchbay-vllm"]["spec"]["ingress"]
    assert [rule["from"][0]["podSelector"]["matchLabels"] for rule in vllm] == [
        {"app.kubernetes.io/name": "patchbay", "app.kubernetes.io/instance": "shop"}
    ]


def test_workers_scale_by_calls_or_by_the_processor(tmp_path: Path) -> None:
    objects = rendered(tmp_path, FULL)
    scaled = of_kind(objects, "ScaledObject")["shop-patchbay-worker"]["spec"]
    [trigger] = scaled["triggers"]
    named = re.findall(r"\b\w+_\w+\b", trigger["metadata"]["query"])
    assert set(named) <= published()
    assert trigger["metadata"]["threshold"] == "8"
    assert "replicas" not in of_kind(objects, "Deployment")["shop-patchbay-worker"]["spec"]
    cpu = rendered(tmp_path, CASES["cpu"])
    assert of_kind(cpu, "HorizontalPodAutoscaler").keys() == {"shop-patchbay-worker"}
    assert not of_kind(cpu, "ScaledObject")
    assert not of_kind(cpu, "Job")
    assert not of_kind(cpu, "NetworkPolicy")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**NAMES, "secret": ""}, "secret"),
        ({**NAMES, "image": {}}, "repository"),
        ({**NAMES, "livekit": {"url": "livekit"}}, "url"),
        ({**NAMES, "worker": {"autoscaling": {"kind": "calls"}}}, "kind"),
        ({**NAMES, "http": {"ingress": {"enabled": True}}}, "http.ingress.host"),
        ({**NAMES, "podMonitor": {"enabled": True}}, "podMonitor.keySecret"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, values: dict[str, Any], message: str) -> None:
    code, output = run_helm(tmp_path, values, "template", "shop")
    assert code != 0
    assert message in output
