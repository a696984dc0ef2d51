"""Tests the steps of set-up, their stamps, and their error reports."""

import sys
from pathlib import Path

import pytest

from deploy import console, media_server, paths, setup, stamps, toolchain

GO_MOD = """
module servers

go 1.26

require github.com/livekit/livekit-server v1.13.5
"""


@pytest.mark.parametrize(
    ("words", "version"),
    [
        ("go version go1.26.8 linux/amd64", (1, 26, 8)),
        ("go version go1.27 darwin/arm64", (1, 27)),
        ("v20.19.0\n", (20, 19, 0)),
        ("livekit-server version 1.13.5", (1, 13, 5)),
        ("command not found", ()),
    ],
)
def test_a_program_s_version_is_read_from_its_own_words(
    words: str, version: tuple[int, ...]
) -> None:
    assert toolchain.parse_version(words) == version


def test_a_program_that_is_not_there_has_no_version(tmp_path: Path) -> None:
    assert toolchain.version_of(tmp_path / "absent", "--version") == ()


@pytest.mark.parametrize(
    ("version", "will_do"),
    [
        ((20, 18, 9), False),
        ((20, 19, 0), True),
        ((21, 7, 0), False),
        ((22, 11, 0), False),
        ((22, 12, 0), True),
        ((24, 19, 0), True),
        ((), False),
    ],
)
def test_only_a_node_that_vite_supports_is_accepted(
    version: tuple[int, ...], will_do: bool
) -> None:
    assert toolchain.is_node_supported(version) is will_do


def test_a_server_of_another_minor_version_is_not_used() -> None:
    pin = media_server.Pin(GO_MOD)
    assert (pin.version, pin.go) == ("1.13.5", (1, 26))
    assert pin.allows((1, 13, 9))
    assert not pin.allows((1, 14, 0))
    assert not pin.allows(())


@pytest.mark.parametrize("server", [media_server.LIVEKIT, media_server.SIP])
def test_the_shipped_go_mod_names_the_server_that_is_built_and_a_go(
    server: media_server.Server,
) -> None:
    assert toolchain.parse_version(server.pin.version)
    assert server.pin.go
    assert f"\ntool {server.package}\n" in (server.module / "go.mod").read_text()


def test_libraries_that_a_build_needs_are_named_with_their_packages() -> None:
    media_server.check_libraries("SIP server", {}, "")
    with pytest.raises(console.StepError, match="SIP server: this machine lacks libnone") as said:
        media_server.check_libraries(
            "SIP server", {"no-such-library": "libnone-dev"}, "put one on PATH"
        )
    assert "apt install" in said.value.remedy
    assert said.value.remedy.endswith("libnone-dev; or put one on PATH")


def test_steps_run_once_and_in_the_order_of_their_dependencies() -> None:
    assert setup.ordered_steps(["page", "venv", "page"]) == ["venv", "page"]
    assert setup.ordered_steps([]) == ["venv", "speech", "extras", "server", "page"]
    assert "sip" not in setup.ordered_steps([]), "it needs libraries that few machines have"
    assert setup.ordered_steps(["dev", "all"]) == [*setup.ordered_steps([]), "dev"]


def test_an_unknown_step_is_refused_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        setup.main(["everything"])
    assert "venv" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_named_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "home"
    file.touch()
    assert setup.report_failures((file / ".cache").mkdir) == 1
    said = capsys.readouterr().out
    assert f"{file}/.cache: Not a directory" in said
    assert "HOME" in said


def test_a_stamp_holds_only_for_the_inputs_it_was_written_with(tmp_path: Path) -> None:
    stamp = tmp_path / "deep" / "stamp"
    assert not stamps.is_fresh(stamp, "one")
    stamps.write(stamp, "one")
    assert stamps.is_fresh(stamp, "one")
    assert not stamps.is_fresh(stamp, "two")


def test_inputs_differ_when_a_file_is_changed_or_renamed(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("text")
    before = stamps.digest_files(tmp_path, [file])
    file.write_text("other")
    changed = stamps.digest_files(tmp_path, [file])
    file.write_text("text")
    renamed = stamps.digest_files(tmp_path, [file.rename(tmp_path / "b")])
    assert len({before, changed, renamed}) == 3


def test_moving_a_byte_between_inputs_is_a_change() -> None:
    assert stamps.digest("ab", "c") != stamps.digest("a", "bc")


def test_a_folder_in_the_making_is_seen_only_when_finished(tmp_path: Path) -> None:
    place = tmp_path / "tool"
    with stamps.staged(place) as staging:
        (staging / "program").write_text("new")
        assert not place.exists()
    assert [file.name for file in tmp_path.iterdir()] == ["tool"]
    assert (place / "program").read_text() == "new"


def test_an_interrupted_folder_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "tool"
    place.mkdir()
    (place / "program").write_text("old")

    def interrupted() -> None:
        with stamps.staged(place) as staging:
            (staging / "program").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [file.name for file in tmp_path.iterdir()] == ["tool"]
    assert (place / "program").read_text() == "old"


def test_a_folder_that_another_process_has_finished_meanwhile_stays(tmp_path: Path) -> None:
    place = tmp_path / "tool"
    with stamps.staged(place) as staging:
        (staging / "program").write_text("second")
        with stamps.staged(place) as first:
            (first / "program").write_text("first")
        in_use = place.stat().st_ino
    assert place.stat().st_ino == in_use
    assert (place / "program").read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["tool"]


def test_a_folder_of_read_only_files_can_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / "modules" / "inner"
    folder.mkdir(parents=True)
    (folder / "file").write_text("")
    folder.chmod(0o500)
    folder.parent.chmod(0o500)
    stamps.remove(folder.parent)
    assert not folder.parent.exists()


def test_a_failed_command_reports_the_end_of_its_log_and_a_remedy(tmp_path: Path) -> None:
    step = console.Step("Some packages", tmp_path / "some.log")
    with pytest.raises(console.StepError) as failed:
        step.run([sys.executable, "-c", "print('it broke'); raise SystemExit(3)"], remedy="mend it")
    report = failed.value.report()
    assert "Some packages" in report
    assert "ended with 3" in report
    assert "it broke" in report
    assert str(step.log) in report
    assert report.endswith("What to do: mend it")


def test_a_command_that_cannot_start_is_a_failed_step_too(tmp_path: Path) -> None:
    step = console.Step("Some tool", tmp_path / "some.log")
    with pytest.raises(console.StepError, match="No such file"):
        step.run([tmp_path / "absent"], remedy="install it")


def test_two_checkouts_have_logs_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with console.step("Console") as ours:
        ours.log.write_text("why it failed")
        monkeypatch.setattr("deploy.paths.ROOT", tmp_path / "another")
        with console.step("Console") as theirs:
            assert theirs.log != ours.log
        assert ours.log.read_text() == "why it failed"


def test_only_a_failed_steps_log_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with console.step("Good work/of all") as good:
        good.run([sys.executable, "-c", ""], remedy="none")
    with pytest.raises(console.StepError), console.step("Bad work") as bad:
        bad.run([sys.executable, "-c", "raise SystemExit(1)"], remedy="none")
    assert not good.log.exists()
    assert bad.log.exists()
    assert capsys.readouterr().out.splitlines()[:2] == [
        "Good work/of all ...",
        "Good work/of all: done in 0 s",
    ]


def test_the_cache_follows_xdg_but_only_by_an_absolute_path() -> None:
    assert paths.cache_folder({"XDG_CACHE_HOME": "/var/cache/x"}) == Path("/var/cache/x/patchbay")
    assert paths.cache_folder({"XDG_CACHE_HOME": "relative"}) == paths.cache_folder({})
