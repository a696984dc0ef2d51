"""Tests that Dockerfile, Makefile and lock files agree with the code."""

import re
import shlex
from pathlib import Path

import pytest

from deploy import paths, setup

DOCKERFILE = (paths.ROOT / "deploy" / "Dockerfile").read_text()
LOCK_FILES = [
    paths.ROOT / "requirements.lock",
    paths.ROOT / "requirements-neural.lock",
    paths.ROOT / "requirements-terminal.lock",
    paths.ROOT / "requirements-dev.lock",
    paths.LOCKS / "go.lock",
    paths.LOCKS / "node.lock",
    paths.LOCKS / "llm-comply.lock",
    paths.LOCKS / "kubernetes-validate.lock",
    paths.LOCKS / "moto.lock",
    paths.LOCKS / "audit.lock",
    paths.LOCKS / "docs.lock",
]


def test_images_are_made_by_the_steps_of_set_up() -> None:
    taken = re.findall(r"python -m deploy\.setup (\w+)", DOCKERFILE)
    assert set(taken) == set(setup.ALL) <= set(setup.STEPS)


def test_every_file_that_an_image_takes_is_there_and_let_through() -> None:
    let_through = {
        line[1:].rstrip("/")
        for line in (paths.ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copies = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source.rstrip("/") for copy in copies for source in shlex.split(copy)]
    assert sources
    for source in sources:
        assert (paths.ROOT / source).exists(), source
        assert any(f"{source}/".startswith(f"{folder}/") for folder in let_through), source


def test_no_image_runs_as_root() -> None:
    finals = re.split(r"^FROM ", DOCKERFILE, flags=re.MULTILINE)[-2:]
    assert [re.findall(r"AS (\w+)", stage) for stage in finals] == [["livekit"], ["app"]]
    assert all("\nUSER 10001:10001\n" in stage for stage in finals)


def test_no_image_holds_a_secret_or_takes_a_file_from_elsewhere() -> None:
    left_out = (paths.ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in left_out, "everything is left out but for what is named"
    assert not [line for line in left_out if line.startswith("!") and ".env" in line]
    words = r"(?i)^(ARG|ENV)\b.*(SECRET|TOKEN|PASSWORD|API_KEY)"
    assert not re.search(words, DOCKERFILE, re.MULTILINE)
    assert not re.search(r"^ADD ", DOCKERFILE, re.MULTILINE), "ADD fetches and unpacks"
    assert not re.search(r"curl|wget|--privileged|sudo", DOCKERFILE)


@pytest.mark.parametrize("lock", LOCK_FILES, ids=lambda lock: lock.name)
def test_a_lock_file_pins_by_hash_and_names_no_place(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^-|\s@\s|file:", text, re.MULTILINE)
    for requirement in re.split(r"\n(?=\S)", text.strip()):
        if not requirement.startswith("#"):
            assert re.match(r"[\w.-]+==\S+", requirement)
            assert "--hash=sha256:" in requirement


def test_speech_terminal_and_developing_use_the_versions_that_are_shipped() -> None:
    shipped, neural, terminal, developed = (pins(lock) for lock in LOCK_FILES[:4])
    assert shipped <= neural
    assert shipped <= terminal <= developed
    names = {pin.partition("==")[0] for pin in neural}
    assert {pin for pin in developed if pin.partition("==")[0] in names} <= neural


def pins(lock: Path) -> set[str]:
    return set(re.findall(r"^[\w.-]+==.*$", lock.read_text(), re.MULTILINE))


def test_recipes_of_set_up_call_nothing_but_python() -> None:
    makefile = (paths.ROOT / "Makefile").read_text()
    for target in ("help", "setup", "dev", "demo", "install-frontend"):
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert recipe
        assert recipe.group(1).startswith("\t@$(PYTHON) -")


@pytest.mark.parametrize("name", ["demo", "local"])
def test_livekit_names_no_port_that_firefox_refuses(name: str) -> None:
    config = (paths.ROOT / "deploy" / "livekit" / f"{name}.yaml").read_text(encoding="utf-8")
    [port] = re.findall(r'stun_servers: \["127.0.0.1:(\d+)"\]', config)
    assert int(port) > 1023
