"""Runs Docker Compose with the profiles of this machine and the settings that they need.

Profiles come from the command line, else from COMPOSE_PROFILES. The bundled LiveKit server is added
unless LIVEKIT_URL names another one. Secrets that are missing are made once and added to .env.
"""

import argparse
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from deploy import console, env_file, paths, probes, setup

CONNECTIONS = "config/connections.json"
BUNDLED = ("livekit", "public")
"""Profiles of the bundled LiveKit server."""
_ALTERNATIVES = MappingProxyType(
    {
        "livekit": "livekit",
        "public": "livekit-public",
        "ollama": "ollama",
        "ollama-gpu": "ollama-gpu",
    }
)
"""Service of each profile that excludes another one."""
_DOCKER_NETWORKS = "172.16.0.0/12,192.168.0.0/16"
"""The networks that Docker chooses from, in one of which Caddy is."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_COMMANDS = MappingProxyType(
    {
        "build": ("build",),
        "up": ("up", "--build", "--detach", "--wait"),
        "restart": ("restart",),
        "logs": ("logs", "--follow", "--tail", "100"),
        "config": ("config",),
    }
)


class ContainersError(console.ReportedError):
    """A setting prevents the start; the message names it and says what to set instead."""


@dataclass(frozen=True)
class Plan:
    """The profiles to start, with variables for Compose and secrets that .env lacks."""

    profiles: tuple[str, ...]
    variables: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def unused(self) -> list[str]:
        """Services that would be in the way if they still ran from an earlier start."""
        return [name for profile, name in _ALTERNATIVES.items() if profile not in self.profiles]


def make_plan(
    values: Mapping[str, str],
    asked: Sequence[str] = (),
    new_secret: Callable[[], str] = lambda: secrets.token_hex(24),
) -> Plan:
    """Decides what to start, from the settings and the profiles that were asked for.

    Raises ContainersError for settings that cannot work together.
    """
    profiles = [*asked] or values.get("COMPOSE_PROFILES", "").replace(",", " ").split()
    is_bundled = bool({*BUNDLED, "*"} & {*profiles})
    if not is_bundled and not values.get("LIVEKIT_URL"):
        profiles.append("public" if "tls" in profiles else "livekit")
        is_bundled = True
    _check_profiles(profiles, values, is_bundled)
    made = _missing_secrets(profiles, values, is_bundled, new_secret)
    variables = _variables(profiles, {**values, **made}, is_bundled)
    return Plan(tuple(dict.fromkeys(profiles)), variables, made)


def _check_profiles(profiles: Sequence[str], values: Mapping[str, str], is_bundled: bool) -> None:
    for one, other in (("livekit", "public"), ("ollama", "ollama-gpu")):
        if {one, other} <= {*profiles}:
            raise ContainersError(f"The profiles {one} and {other} exclude each other: name one.")
    needed = {"DOMAIN": "the page"} if "tls" in profiles else {}
    if needed and is_bundled:
        needed["LIVEKIT_DOMAIN"] = "LiveKit"
    for name, what in needed.items():
        if not values.get(name):
            raise ContainersError(
                f"The profile tls needs {name} in .env: the host name of {what}, such as"
                f" {'talk' if name == 'DOMAIN' else 'livekit'}.example.org, which leads here."
            )


def _missing_secrets(
    profiles: Sequence[str],
    values: Mapping[str, str],
    is_bundled: bool,
    new_secret: Callable[[], str],
) -> dict[str, str]:
    made: dict[str, str] = {}
    names = ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
    missing = [name for name in names if not values.get(name)]
    if missing and (not is_bundled or len(missing) == 1):
        raise ContainersError(
            f"{' and '.join(missing)} missing in .env: give the key and the secret of your LiveKit"
            " server; for the bundled server give neither, and both are made."
        )
    if missing:
        made["LIVEKIT_API_KEY"] = f"patchbay-{new_secret()[:8]}"
        made["LIVEKIT_API_SECRET"] = new_secret()
    if "scale" in profiles and not (values.get("POSTGRES_PASSWORD") or values.get("DATABASE_URL")):
        made["POSTGRES_PASSWORD"] = new_secret()
    return made


def _variables(
    profiles: Sequence[str], values: Mapping[str, str], is_bundled: bool
) -> dict[str, str]:
    """Returns the variables that the profiles need; what the person has set stays."""
    needed: dict[str, str] = {}
    if "vllm" in profiles:
        needed["VLLM_BASE_URL"] = "http://vllm:8000/v1"
    if {"ollama", "ollama-gpu"} & {*profiles}:
        needed["OLLAMA_BASE_URL"] = "http://ollama:11434"
    if {"sip", "scale"} & {*profiles}:
        needed["REDIS_HOST"] = "redis:6379"
    if "scale" in profiles:
        password = values.get("POSTGRES_PASSWORD", "")
        needed["DATABASE_URL"] = f"postgresql://patchbay:{password}@postgres/patchbay"
        needed["REDIS_URL"] = "redis://redis:6379/0"
    if "tls" in profiles:
        needed["TRUSTED_PROXIES"] = _DOCKER_NETWORKS
        if is_bundled:
            needed["LIVEKIT_PUBLIC_URL"] = f"wss://{values['LIVEKIT_DOMAIN']}"
    if (paths.ROOT / CONNECTIONS).is_file():
        needed["CONNECTIONS_FILE"] = CONNECTIONS
    variables = {name: value for name, value in needed.items() if not values.get(name)}
    if is_bundled and values.get("LIVEKIT_URL"):
        variables["LIVEKIT_URL"] = ""  # the bundled server was asked for by its profile
    return variables


def _check_machine(plan: Plan, values: Mapping[str, str]) -> None:
    """Checks what only this machine can tell: files and addresses. Raises ContainersError."""
    file = values.get("CONNECTIONS_FILE", "")
    if file and not (paths.ROOT / file).is_file():
        raise ContainersError(f"CONNECTIONS_FILE={file}: there is no such file; correct it.")
    url = {**values, **plan.variables}.get("LIVEKIT_URL", "")
    if url and urlsplit(url).hostname in _LOOPBACK and not probes.accepts(url):
        raise ContainersError(
            f"Nothing answers at LIVEKIT_URL={url}: start the LiveKit server there, or remove"
            " LIVEKIT_URL, so that one is started in a container."
        )


def add_secrets(file: Path, made: Mapping[str, str]) -> None:
    """Appends the secrets to the file, which only its owner may read if it is new."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    start = "\n" if text and not text.endswith("\n") else ""
    lines = "".join(f"{name}={value}\n" for name, value in made.items())
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as opened:
        opened.write(start + lines)


def run(
    command: str,
    asked: Sequence[str],
    file: Path = env_file.ENV_FILE,
    environ: Mapping[str, str] = os.environ,
) -> int:
    """Runs one command of Compose and returns its exit code. Raises ContainersError."""
    given = {name: value for name, value in environ.items() if value}
    values = {**env_file.read(file), **given}
    plan = make_plan(values, asked)
    compose = (values.get("DOCKER", "docker"), "compose")
    _check_compose(compose)
    if command == "up":
        _check_machine(plan, values)
    if plan.secrets:
        add_secrets(file, plan.secrets)
        console.say(f"Added to .env: {', '.join(plan.secrets)}. Keep a copy.")
    chosen = [flag for profile in plan.profiles for flag in ("--profile", profile)]
    child = {**environ, **plan.variables}
    if command == "up":
        old = [*compose, "--profile", "*", "rm", "--stop", "--force", *plan.unused]
        subprocess.run(old, cwd=paths.ROOT, env=child, check=False, capture_output=True)
    arguments = [*compose, *chosen, *_COMMANDS[command]]
    code = subprocess.run(arguments, cwd=paths.ROOT, env=child, check=False).returncode
    if command == "up":
        for line in describe_start(values, plan, succeeded=code == 0):
            console.say(line)
    return code


def _check_compose(compose: Sequence[str]) -> None:
    """Raises ContainersError if the program, or its Compose plugin, is missing."""
    try:
        done = subprocess.run([*compose, "version"], check=False, capture_output=True)
        problem = "it has no Compose" if done.returncode else ""
    except OSError as error:
        problem = f"it cannot be started: {error.strerror}"
    if problem:
        raise ContainersError(
            f"`{' '.join(compose)}` does not work ({problem}). Install Docker with its Compose"
            " plugin, or name another program with DOCKER=..."
        )


def describe_start(values: Mapping[str, str], plan: Plan, *, succeeded: bool) -> list[str]:
    """Returns what a person needs to know after `make up`."""
    if not succeeded:
        return ["\nThe start failed: the lines above say why, or `make logs`. `make up` continues."]
    is_public = "tls" in plan.profiles
    page = f"https://{values['DOMAIN']}" if is_public else "http://127.0.0.1:8787"
    return [
        f"\nReady: {page}",
        "Admin key: docker compose exec api cat /home/patchbay/.local/state/patchbay/admin.key",
        "Health:    docker compose exec worker llm-router doctor",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m deploy.containers", description=__doc__)
    parser.add_argument("command", choices=list(_COMMANDS))
    parser.add_argument("profile", nargs="*", help="as in docker-compose.yml")
    given = parser.parse_args(arguments)
    return setup.report_failures(lambda: run(given.command, given.profile))


if __name__ == "__main__":
    sys.exit(main())
