"""Tests what `make up` decides, and what it hands to Docker Compose."""

import json
import stat
from pathlib import Path

import pytest

from deploy import containers, digests, env_file, extras
from deploy.console import StepError
from deploy.containers import ContainersError, make_plan
from llm_router.providers.livekit_plugin import plugins

KEYS = {"LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "secret"}
CLOUD = {"LIVEKIT_URL": "wss://desk.livekit.cloud"}
LOCK = (
    "livekit-agents==1.8.9 \\\n    --hash=sha256:00\nuvicorn[standard]==0.40.0 ; extra == 'x' \\\n"
)


def secret() -> str:
    return "0123456789abcdef"


@pytest.mark.parametrize(
    ("values", "asked", "profiles"),
    [
        ({}, [], ("livekit",)),
        ({}, ["ollama", "scale"], ("ollama", "scale", "livekit")),
        (CLOUD, [], ()),
        (CLOUD, ["vllm"], ("vllm",)),
        (CLOUD, ["livekit"], ("livekit",)),
        ({"COMPOSE_PROFILES": "sip,vllm"}, [], ("sip", "vllm", "livekit")),
        ({"COMPOSE_PROFILES": "sip"}, ["vllm"], ("vllm", "livekit")),
        ({"DOMAIN": "talk.test", "LIVEKIT_DOMAIN": "lk.test"}, ["tls"], ("tls", "public")),
        ({"DOMAIN": "talk.test", **CLOUD}, ["tls"], ("tls",)),
    ],
)
def test_the_bundled_livekit_starts_unless_another_is_named(
    values: dict[str, str], asked: list[str], profiles: tuple[str, ...]
) -> None:
    assert make_plan({**KEYS, **values}, asked).profiles == profiles


def test_a_profile_sets_what_the_other_services_need_for_it() -> None:
    plan = make_plan(KEYS, ["ollama", "vllm", "scale"], secret)
    assert plan.secrets == {"POSTGRES_PASSWORD": secret()}
    needed = {
        "OLLAMA_BASE_URL": "http://ollama:11434",
        "VLLM_BASE_URL": "http://vllm:8000/v1",
        "REDIS_HOST": "redis:6379",
        "REDIS_URL": "redis://redis:6379/0",
        "DATABASE_URL": f"postgresql://patchbay:{secret()}@postgres/patchbay",
    }
    assert plan.variables.items() >= needed.items()
    assert secret() not in repr(plan)


def test_what_a_person_has_set_stays() -> None:
    own = {"OLLAMA_BASE_URL": "http://10.0.0.5:11434", "DATABASE_URL": "postgresql://x:y@db/z"}
    plan = make_plan({**KEYS, **own}, ["ollama", "scale"])
    assert not {*own} & {*plan.variables}
    assert plan.secrets == {}
    again = make_plan({**KEYS, "POSTGRES_PASSWORD": "mine"}, ["scale"])
    assert again.secrets == {}
    assert "mine" in again.variables["DATABASE_URL"]


def test_tls_names_the_public_address_and_the_proxy() -> None:
    domains = {"DOMAIN": "talk.test", "LIVEKIT_DOMAIN": "lk.test"}
    bundled = make_plan({**KEYS, **domains}, ["tls"]).variables
    assert bundled["LIVEKIT_PUBLIC_URL"] == "wss://lk.test"
    assert bundled["TRUSTED_PROXIES"]
    assert "LIVEKIT_PUBLIC_URL" not in make_plan({**KEYS, **domains, **CLOUD}, ["tls"]).variables


def test_the_bundled_server_asked_for_by_name_replaces_the_one_of_the_file() -> None:
    assert make_plan({**KEYS, **CLOUD}, ["livekit"]).variables["LIVEKIT_URL"] == ""


def test_keys_of_the_bundled_server_are_made_once() -> None:
    made = make_plan({}, (), secret).secrets
    assert set(made) == set(KEYS)
    assert make_plan(made).secrets == {}


@pytest.mark.parametrize(
    ("values", "asked", "named"),
    [
        (CLOUD, [], "LIVEKIT_API_KEY and LIVEKIT_API_SECRET missing"),
        ({"LIVEKIT_API_KEY": "key"}, [], "LIVEKIT_API_SECRET missing"),
        (KEYS, ["tls"], "DOMAIN"),
        ({**KEYS, "DOMAIN": "talk.test"}, ["tls"], "LIVEKIT_DOMAIN"),
        (KEYS, ["ollama", "ollama-gpu"], "exclude each other"),
        (KEYS, ["livekit", "public"], "exclude each other"),
    ],
)
def test_settings_that_cannot_work_are_named(
    values: dict[str, str], asked: list[str], named: str
) -> None:
    with pytest.raises(ContainersError, match=named):
        make_plan(values, asked)


def test_secrets_are_added_to_the_end_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    containers.add_secrets(file, {"A": "1"})
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("B=2")
    containers.add_secrets(file, {"A": "1"})
    assert file.read_text() == "B=2\nA=1\n"


def fake_docker(folder: Path, code: int = 0) -> Path:
    """Writes a program that records its arguments and a few variables, and ends with `code`."""
    program = folder / "docker"
    program.write_text(
        "#!/usr/bin/env python3\n"
        "import json, os, pathlib, sys\n"
        "names = ('POSTGRES_PASSWORD', 'DATABASE_URL', 'LIVEKIT_URL')\n"
        "seen = {name: os.environ[name] for name in names if name in os.environ}\n"
        f"with pathlib.Path({str(folder / 'calls')!r}).open('a') as calls:\n"
        "    calls.write(json.dumps([sys.argv[1:], seen]) + '\\n')\n"
        f"sys.exit(0 if sys.argv[1:] == ['compose', 'version'] else {code})\n"
    )
    program.chmod(0o700)
    return program


def calls(folder: Path) -> list[tuple[list[str], dict[str, str]]]:
    """Returns the recorded calls, without the question whether there is a Compose."""
    made = [json.loads(line) for line in (folder / "calls").read_text().splitlines()]
    return [call for call in made if call[0] != ["compose", "version"]]


def environ(program: Path) -> dict[str, str]:
    return {"DOCKER": str(program), "PATH": "/usr/bin:/bin"}


def test_make_up_builds_starts_and_says_where_the_admin_key_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / ".env"
    docker = environ(fake_docker(tmp_path))
    assert containers.run("up", ["scale"], file, docker) == 0
    assert containers.run("up", ["scale"], file, docker) == 0
    (removed, _), (started, first), _, (_, second) = calls(tmp_path)
    assert removed[:6] == ["compose", "--profile", "*", "rm", "--stop", "--force"]
    assert "livekit-public" in removed
    assert "livekit" not in removed
    profiles = ["--profile", "scale", "--profile", "livekit"]
    assert started == ["compose", *profiles, "up", "--build", "--detach", "--wait"]
    written = env_file.read(file)
    assert set(written) == {*KEYS, "POSTGRES_PASSWORD"}
    assert written["POSTGRES_PASSWORD"] in first["DATABASE_URL"]
    assert second["DATABASE_URL"] == first["DATABASE_URL"], "the password is made once"
    said = capsys.readouterr().out
    assert "admin.key" in said
    assert "Added to .env" in said
    assert written["POSTGRES_PASSWORD"] not in said


def test_a_failed_start_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert containers.run("up", [], tmp_path / ".env", environ(fake_docker(tmp_path, 3))) == 3
    assert "make logs" in capsys.readouterr().out


def test_a_machine_without_docker_is_named(tmp_path: Path) -> None:
    with pytest.raises(ContainersError, match="Install Docker"):
        containers.run("build", [], tmp_path / ".env", environ(tmp_path / "absent"))


def test_a_docker_without_compose_is_named_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(ContainersError, match="it has no Compose"):
        containers.run("up", [], tmp_path / ".env", environ(Path("/bin/false")))
    assert not (tmp_path / ".env").exists()


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LIVEKIT_URL", "ws://127.0.0.1:9"), ("CONNECTIONS_FILE", "no-such-file.json")],
)
def test_what_this_machine_lacks_is_named_before_anything_starts(
    tmp_path: Path, variable: str, value: str
) -> None:
    settings = {**environ(fake_docker(tmp_path)), **KEYS, variable: value}
    with pytest.raises(ContainersError, match=f"{variable}={value}"):
        containers.run("up", [], tmp_path / ".env", settings)
    assert not calls(tmp_path)


def test_digests_are_added_and_renewed_and_versions_stay() -> None:
    text = (
        "    image: redis:8.2.8-alpine\n"
        f"    image: caddy:2.11.7@sha256:{'0' * 64}\n"
        "    image: patchbay\nFROM python:3.13 AS base\nFROM base AS app\n"
    )
    pinned = digests.pin(text, lambda image: f"sha256:{len(image):064}")
    assert pinned.splitlines() == [
        f"    image: redis:8.2.8-alpine@sha256:{18:064}",
        f"    image: caddy:2.11.7@sha256:{12:064}",
        "    image: patchbay",
        f"FROM python:3.13@sha256:{11:064} AS base",
        "FROM base AS app",
    ]


def test_extras_are_those_of_the_router_or_plugins_of_the_same_version() -> None:
    names = ["socks", "deepgram", "livekit-plugins-anthropic", "mistral", "Fish_Audio"]
    wanted = extras.requirements(names, extras.router_extras(), LOCK)
    assert wanted[0].startswith("httpx2[socks]")
    assert wanted[1:] == [
        "livekit-plugins-deepgram==1.8.9",
        "livekit-plugins-anthropic==1.8.9",
        "livekit-plugins-mistralai==1.8.9",
        "livekit-plugins-fish-audio==1.8.9",
    ]
    assert extras.PLUGIN_ALIASES == plugins._ALIASES


@pytest.mark.parametrize("name", ["--index-url=http://x", "git+https://x", "../x", "a;b", "a==1"])
def test_an_extra_is_a_name_and_nothing_else(name: str) -> None:
    with pytest.raises(StepError, match="neither an extra"):
        extras.requirements([name], extras.router_extras(), LOCK)


def test_locked_packages_are_constraints_without_hash_or_extra() -> None:
    assert extras.locked_versions(LOCK) == [
        "livekit-agents==1.8.9",
        "uvicorn==0.40.0 ; extra == 'x'",
    ]
