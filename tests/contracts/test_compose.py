"""Tests docker-compose.yml as Docker Compose's own library reads it, profile by profile."""

import re
from pathlib import Path

import pytest

from deploy import paths
from tests.contracts.composed import COMPOSE, KEYS, Load, services

ALWAYS = {"worker", "api"}
PROFILES = {
    "": set[str](),
    "livekit": {"livekit"},
    "public": {"livekit-public"},
    "tls": {"caddy"},
    "vllm": {"vllm"},
    "ollama": {"ollama", "ollama-models-owner"},
    "ollama-gpu": {"ollama-gpu", "ollama-models-owner"},
    "sip": {"sip", "phone-lines", "redis"},
    "scale": {"postgres", "redis"},
}
OPEN = {"livekit-public": {"7881", "7882", "3478"}, "caddy": {"80", "443"}}
"""Ports that are meant for callers elsewhere, by service."""
NO_DIGEST_YET = {"vllm/vllm-openai", "livekit/sip"}
"""Images whose digests `make digests` has still to write."""


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_adds_its_services_and_no_others(load: Load, profile: str) -> None:
    assert set(services(load, COMPOSE_PROFILES=profile)) == ALWAYS | PROFILES[profile]


def test_all_profiles_fit_together(load: Load) -> None:
    assert set(services(load, COMPOSE_PROFILES="*")) == ALWAYS.union(*PROFILES.values())


def test_every_image_is_pinned(load: Load) -> None:
    images = {
        service["image"]
        for service in services(load, COMPOSE_PROFILES="*").values()
        if "build" not in service
    }
    dockerfile = (paths.ROOT / "deploy" / "Dockerfile").read_text()
    stages = set(re.findall(r"FROM \S+ AS (\w+)", dockerfile))
    images |= set(re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)) - stages
    assert len(images) > 5
    for image in images:
        name, version = image.partition("@")[0].split(":")
        assert re.match(r"v?\d+\.\d+\.?\d*", version), image
        assert re.search(r"@sha256:[0-9a-f]{64}$", image) or name in NO_DIGEST_YET, image
    assert "# syntax=" not in dockerfile, "a frontend would be one more image to pin"


def test_every_service_is_unprivileged(load: Load) -> None:
    for name, service in services(load, COMPOSE_PROFILES="*").items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert set(service.get("cap_add", ())) <= {"CHOWN", "NET_BIND_SERVICE"}, name
        unwanted = {"privileged", "devices", "pid", "ipc", "network_mode", "userns_mode"}
        assert not unwanted & service.keys(), name
        mounts = [volume["source"] for volume in service.get("volumes", ())]
        assert not [source for source in mounts if source.endswith(".sock") or source == "/"], name


def test_no_code_is_mounted_over_an_image(load: Load, tmp_path: Path) -> None:
    mounted = services(load, COMPOSE_PROFILES="*", CONNECTIONS_FILE="config/connections.json")
    binds = {
        (name, Path(volume["source"]).relative_to(tmp_path).as_posix(), volume["read_only"])
        for name, service in mounted.items()
        for volume in service.get("volumes") or []
        if volume["type"] == "bind"
    }
    read = ("documents", "prompts", "connections.json", "phone.toml")
    apps = (*ALWAYS, "phone-lines")
    assert binds == {
        *((app, f"config/{name}", True) for app in apps for name in read),
        ("caddy", "deploy/caddy/Caddyfile", True),
    }
    assert not [*(paths.ROOT / "config" / "prompts").rglob("*.py")]
    assert not [*(paths.ROOT / "config" / "documents").rglob("*.py")]


def test_a_file_of_connections_is_mounted_only_if_it_is_named(load: Load) -> None:
    for name in ALWAYS:
        volumes = services(load)[name]["volumes"]
        [file] = [v for v in volumes if v["target"] == "/app/config/connections.json"]
        assert file["source"] == "/dev/null"
        environment = services(load, CONNECTIONS_FILE="mine.json")[name]["environment"]
        assert environment["CONNECTIONS_FILE"] == "config/connections.json"


def test_no_call_by_telephone_is_taken_before_its_lines_are_made(load: Load) -> None:
    found = services(load, COMPOSE_PROFILES="sip", PHONE_FILE="mine.toml")
    needed = found["sip"]["depends_on"]["phone-lines"]
    assert needed["condition"] == "service_completed_successfully"
    lines = found["phone-lines"]
    assert lines["restart"] == "no", "it would be run again for ever"
    [file] = [v for v in lines["volumes"] if v["target"] == "/app/config/phone.toml"]
    assert Path(file["source"]).name == "mine.toml"
    assert lines["environment"]["PHONE_FILE"] == "config/phone.toml"


def test_a_service_waits_for_those_it_needs_to_be_healthy(load: Load) -> None:
    found = services(load, COMPOSE_PROFILES="*")
    for name, service in found.items():
        for needed, how in (service.get("depends_on") or {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in found[needed], (name, needed)


def test_ports_are_published_on_loopback_unless_a_profile_opens_them(load: Load) -> None:
    for name, service in services(load, COMPOSE_PROFILES="*").items():
        ports = service.get("ports") or []
        opened = {port["published"] for port in ports if port.get("host_ip") != "127.0.0.1"}
        assert opened == OPEN.get(name, set()), name
    opened_by_choice = services(load, BIND_ADDRESS="0.0.0.0")
    assert opened_by_choice["api"]["ports"][0]["host_ip"] == "0.0.0.0"


@pytest.mark.parametrize("missing", KEYS)
def test_no_stack_starts_without_keys_of_its_own(load: Load, missing: str) -> None:
    answer = load(COMPOSE.read_text(), **{**KEYS, missing: ""})
    assert answer.returncode == 1
    assert missing in answer.stderr
    assert "make keys" in answer.stderr


def test_a_gpu_is_asked_for_only_by_the_profiles_that_need_one(load: Load) -> None:
    found = services(load, COMPOSE_PROFILES="*")
    assert {name for name, service in found.items() if service.get("deploy")} == {
        "vllm",
        "ollama-gpu",
    }
    cpu, gpu = (dict(found[name]) for name in ("ollama", "ollama-gpu"))
    for own in ("deploy", "networks", "profiles"):
        cpu.pop(own, None)
        gpu.pop(own, None)
    assert cpu == gpu, "both serve the same model in the same way"
    for stand_in, name in (("ollama-gpu", "ollama"), ("livekit-public", "livekit")):
        assert found[stand_in]["networks"]["default"]["aliases"] == [name]


def test_a_public_address_that_is_given_is_not_asked_for(load: Load) -> None:
    given = services(load, COMPOSE_PROFILES="public", NODE_IP="203.0.113.7")["livekit-public"]
    assert given["environment"]["NODE_IP"] == "203.0.113.7"
    assert given["environment"]["LIVEKIT_RTC_USE_EXTERNAL_IP"] == "false"
    asked = services(load, COMPOSE_PROFILES="public")["livekit-public"]
    assert asked["environment"]["LIVEKIT_RTC_USE_EXTERNAL_IP"] == ""


def test_the_extras_of_the_image_are_a_build_argument(load: Load) -> None:
    for name in ALWAYS:
        build = services(load, EXTRAS="socks deepgram")[name]["build"]
        assert build["args"] == {"EXTRAS": "socks deepgram", "VOICE": "neural"}
        build = services(load, VOICE="espeak")[name]["build"]
        assert build["args"] == {"EXTRAS": "", "VOICE": "espeak"}


def test_the_model_and_its_size_are_settings(load: Load) -> None:
    chosen = services(
        load, COMPOSE_PROFILES="vllm", DEFAULT_MODEL="a/b", TP_SIZE="2", MAX_MODEL_LEN="4096"
    )
    assert chosen["vllm"]["command"][:3] == [
        "--model=a/b",
        "--tensor-parallel-size=2",
        "--max-model-len=4096",
    ]


def test_the_named_livekit_configurations_are_shipped(load: Load) -> None:
    found = services(load, COMPOSE_PROFILES="*")
    named = {found[name]["command"][1] for name in ("livekit", "livekit-public")}
    shipped = {file.name for file in (paths.ROOT / "deploy" / "livekit").glob("*.yaml")}
    assert {Path(name).name for name in named} <= shipped


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "heathcheck:"),
        ("condition: service_healthy}", "condition: healthy}"),
        ("      ollama-models-owner: {condition", "      ollama-models: {condition"),
    ],
)
def test_a_mistake_in_the_file_is_found(load: Load, right: str, wrong: str) -> None:
    text = COMPOSE.read_text()
    assert right in text
    answer = load(text.replace(right, wrong, 1), **KEYS, COMPOSE_PROFILES="*")
    assert answer.returncode == 1
    assert answer.stderr
