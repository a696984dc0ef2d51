"""Installs what EXTRAS names into .venv: extras of the router, and LiveKit plugins.

They are not in the lock file. Packages that are keep their locked versions, and plugins get the
version of livekit-agents; the others are chosen by pip, without a hash.
"""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from deploy import console, env_file, paths, stamps, toolchain
from deploy.console import StepError

_LOCK = paths.ROOT / "requirements-neural.lock"  # holds the pins of requirements.lock, too
_ROUTER = paths.ROOT / "llm_router" / "pyproject.toml"
_PLUGIN = "livekit-plugins-"
PLUGIN_ALIASES = MappingProxyType({"bedrock": "aws", "mistral": "mistralai"})
"""Plugins whose name differs from that of their vendor or service, as connections spell it."""
_STAMP = paths.VENV / ".stamps" / "extras"


def install() -> None:
    """Installs the extras that EXTRAS names; none by default."""
    names = chosen()
    lock = _LOCK.read_text(encoding="utf-8")
    wanted = requirements(names, router_extras(), lock)
    inputs = stamps.digest(lock, *wanted)
    if not wanted or stamps.is_fresh(_STAMP, inputs):
        return
    with console.step(f"Extras: {' '.join(names)}") as step:
        before = _installed()
        locked = step.log.with_suffix(".constraints")
        locked.write_text("\n".join(locked_versions(lock)), encoding="utf-8")
        options = ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
        step.run(
            [paths.VENV_PYTHON, "-m", "pip", "install", *options, "--constraint", locked, *wanted],
            remedy="see that EXTRAS holds extras of llm_router/pyproject.toml or names of LiveKit"
            f" plugins, as in docs/compose.md, and {toolchain.OFFLINE}",
        )
        stamps.write(_STAMP, inputs)
    console.say(f"Not locked by a hash: {', '.join(sorted(_installed() - before)) or 'nothing'}")


def chosen(environ: Mapping[str, str] = os.environ, file: Path = env_file.ENV_FILE) -> list[str]:
    """Returns the names in EXTRAS, separated by spaces or commas.

    The environment takes precedence over .env, as for every setting.
    """
    return re.findall(r"[^\s,]+", env_file.setting("EXTRAS", environ, file))


def router_extras(file: Path = _ROUTER) -> Mapping[str, list[str]]:
    """Returns the requirements of each extra of the router, without the router itself."""
    extras = tomllib.loads(file.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return {
        name: [one for one in wanted if not one.startswith("patchbay-router")]
        for name, wanted in extras.items()
    }


def requirements(names: Iterable[str], extras: Mapping[str, list[str]], lock: str) -> list[str]:
    """Returns what pip is asked for: an extra's requirements, or the plugin of that name.

    Raises StepError for a text that is neither.
    """
    agents = re.search(r"(?m)^livekit-agents(?:\[\S+\])?==([^\s;]+)", lock)
    version = f"=={agents[1]}" if agents else ""
    wanted: list[str] = []
    for name in names:
        if name in extras:
            wanted += extras[name]
        elif re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            plugin = name.lower().replace("_", "-").removeprefix(_PLUGIN)
            wanted.append(f"{_PLUGIN}{PLUGIN_ALIASES.get(plugin, plugin)}{version}")
        else:
            raise StepError(
                f"EXTRAS: {name!r} is neither an extra of the router nor a plugin's name",
                f"name extras ({', '.join(extras)}) or plugins such as deepgram",
            )
    return wanted


def locked_versions(lock: str) -> list[str]:
    """Returns the lock's pins without hashes, as constraints for pip."""
    return [
        re.sub(r"\[\S+?\](?===)", "", pin).strip()
        for pin in re.findall(r"(?m)^([A-Za-z0-9][^\\\n]*)", lock)
    ]


def _installed() -> set[str]:
    done = subprocess.run(
        [paths.VENV_PYTHON, "-m", "pip", "list", "--format", "freeze"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())
