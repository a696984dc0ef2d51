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
    paths.ROOT / "requirements-dev.lock",
    paths.LOCKS / "go.lock",
    paths.LOCKS / "node.lock",
    paths.LOCKS / "llm-comply.lock",
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


@pytest.mark.parametrize("lock", LOCK_FILES, ids=lambda lock: lock.name)
def test_a_lock_file_pins_by_hash_and_names_no_place(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    assert not re.search(r"^-|\s@\s|file:", text, re.MULTILINE)
    for requirement in re.split(r"\n(?=\S)", text.strip()):
        if not requirement.startswith("#"):
            assert re.match(r"[\w.-]+==\S+", requirement)
            assert "--hash=sha256:" in requirement


def test_speech_and_developing_use_the_versions_that_are_shipped() -> None:
    shipped, neural, developed = (pins(lock) for lock in LOCK_FILES[:3])
    assert shipped <= neural
    assert shipped <= developed
    names = {pin.partition("==")[0] for pin in neural}
    assert {pin for pin in developed if pin.partition("==")[0] in names} <= neural


def pins(lock: Path) -> set[str]:
    return set(re.findall(r"^[\w.-]+==.*$", lock.read_text(), re.MULTILINE))


def test_recipes_of_set_up_call_nothing_but_python() -> None:
    makefile = (paths.ROOT / "Makefile").read_text()
    for target in ("help", "setup", "dev", "demo"):
        recipe = re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert recipe
        assert recipe.group(1).startswith("\t@$(PYTHON) -")
