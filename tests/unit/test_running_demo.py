"""The demo announces its settings to the doctor, as long as it runs."""

import os
from pathlib import Path

import pytest

from deploy import paths
from deploy.announcement import announced
from llm_router.settings.field_types import expand_user
from llm_router.settings.running import FILE, find_demo

ADDRESS = "http://127.0.0.1:8787"


def test_a_running_demo_is_found_with_its_settings(tmp_path: Path) -> None:
    environ = {
        "LIVEKIT_API_SECRET": "s",
        "HTTP_PORT": "8787",
        "OPENAI_API_KEY": "k",
        "STT_MODEL": "",
    }
    file = tmp_path / "demo.json"
    assert find_demo(file) is None
    with announced(ADDRESS, environ, tmp_path):
        demo = find_demo(file)
        assert demo is not None
        assert (demo.address, demo.folder) == (ADDRESS, str(paths.ROOT))
        assert demo.variables == {"LIVEKIT_API_SECRET": "s", "HTTP_PORT": "8787"}
        assert "'s'" not in repr(demo)
        assert file.stat().st_mode & 0o777 == 0o600
    assert find_demo(file) is None
    assert not file.exists()


@pytest.mark.parametrize("content", ["", "{}", '{"address": 1, "folder": 2, "variables": 3}'])
def test_a_file_that_a_crash_left_or_that_is_broken_is_ignored(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "demo.json"
    file.write_text('{"address": "a", "folder": "f", "variables": {}}')
    assert find_demo(file) is None
    with announced(ADDRESS, {}, tmp_path):
        file.write_text(content)
        assert find_demo(file) is None


def test_a_second_demo_leaves_the_announcement_of_the_first(tmp_path: Path) -> None:
    with announced(ADDRESS, {}, tmp_path):
        with announced("http://127.0.0.1:9999", {}, tmp_path):
            pass
        demo = find_demo(tmp_path / "demo.json")
    assert demo is not None
    assert demo.address == ADDRESS


def test_a_folder_that_cannot_be_written_does_not_stop_the_demo(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with announced(ADDRESS, {}, tmp_path / "file"):
        pass


def test_both_sides_mean_the_same_file() -> None:
    assert expand_user(FILE) == paths.state_folder() / "demo.json"


def test_a_demos_settings_are_adopted_but_own_variables_take_precedence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PORT", "1")
    monkeypatch.setenv("LIVEKIT_URL", "")
    monkeypatch.chdir(tmp_path)
    with announced(ADDRESS, {"HTTP_PORT": "2", "LIVEKIT_URL": "ws://127.0.0.1:3"}, tmp_path):
        demo = find_demo(tmp_path / "demo.json")
        assert demo is not None
        demo.adopt()
    assert (os.environ["HTTP_PORT"], os.environ["LIVEKIT_URL"]) == ("1", "ws://127.0.0.1:3")
    assert Path.cwd() == paths.ROOT
