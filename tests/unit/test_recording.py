"""Tests the files of recorded messages."""

import asyncio
import os
import stat
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from livekit import rtc

from agent.phone.recording import RATE, Recording, RecordingOptions

FRAME = rtc.AudioFrame(b"\1\0" * (RATE // 50), RATE, 1, RATE // 50)
"""20 ms of sound."""


class Voice:
    """A voice of so many frames, which then goes on in silence."""

    def __init__(self, frames: int) -> None:
        self.frames = frames
        self.said = asyncio.Event()
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[rtc.AudioFrameEvent]:
        for _ in range(self.frames):
            yield rtc.AudioFrameEvent(FRAME)
        self.said.set()
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.is_closed = True


async def recorded(options: RecordingOptions, frames: int, *, keep: bool = True) -> Path:
    recording = Recording(options, "voicemail-RM_1")
    voice = Voice(frames)
    recording.start(voice)
    try:
        async with asyncio.timeout(5):
            await voice.said.wait()
    except TimeoutError:
        pass
    await recording.aclose(keep=keep)
    assert voice.is_closed
    return recording.path


def seconds(file: Path) -> float:
    with wave.open(str(file)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2)
        return float(sound.getnframes() / RATE)


async def test_all_that_was_said_until_the_caller_hung_up_is_in_the_file(tmp_path: Path) -> None:
    file = await recorded(RecordingOptions(folder=tmp_path / "new"), frames=125)
    assert seconds(file) == 2.5
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_a_recording_is_no_longer_than_the_longest(tmp_path: Path) -> None:
    recording = Recording(RecordingOptions(folder=tmp_path, seconds=1.5), "voicemail-RM_1")
    voice = Voice(10_000)
    recording.start(voice)
    assert recording._task
    await recording._task
    assert seconds(recording.path) == 1.5
    assert voice.is_closed


async def test_a_call_without_a_message_leaves_no_file(tmp_path: Path) -> None:
    file = await recorded(RecordingOptions(folder=tmp_path), frames=10, keep=False)
    assert not file.exists()


async def test_old_recordings_are_removed_and_nothing_else(tmp_path: Path) -> None:
    old, other, recent = (tmp_path / n for n in ("voicemail-a.wav", "b.wav", "voicemail-c.wav"))
    for file in (old, other, recent):
        file.write_bytes(b"x")
    for file in (old, other):
        os.utime(file, (0, 0))
    await recorded(RecordingOptions(folder=tmp_path), frames=1)
    left = {each.name for each in await asyncio.to_thread(lambda: [*tmp_path.iterdir()])}
    assert left == {"b.wav", "voicemail-c.wav", "voicemail-RM_1.wav"}


async def test_a_voice_is_recorded_though_another_process_removes_an_old_recording_meanwhile(
    tmp_path: Path,
) -> None:
    (tmp_path / "voicemail-a.wav").symlink_to(tmp_path / "gone")  # listed, and not to be found
    file = await recorded(RecordingOptions(folder=tmp_path), frames=50)
    assert seconds(file) == 1.0


@pytest.mark.parametrize("fault", ["full", "no folder"])
async def test_a_message_without_room_is_not_recorded_which_the_log_says(
    tmp_path: Path, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "folder"
    if fault == "full":
        folder.mkdir()
        (folder / "voicemail-a.wav").write_bytes(bytes(1_000_000))
    else:
        folder.write_text("a file")
    recording = Recording(RecordingOptions(folder=folder, megabytes=1), "voicemail-RM_1")
    recording.start(Voice(10))
    assert recording._task
    await recording._task
    await recording.aclose(keep=fault == "full")
    assert "a message is not recorded" in caplog.text
    assert not recording.path.is_file()


async def test_a_disk_that_is_full_in_the_middle_of_a_message_leaves_no_file_open(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "voicemail-RM_1.wav").symlink_to("/dev/full")
    await recorded(RecordingOptions(folder=tmp_path, days=1_000_000), frames=10)
    assert "No space left on device" in caplog.text
    open_files = await asyncio.to_thread(lambda: [*Path("/proc/self/fd").iterdir()])
    assert not [one for one in open_files if str(one.resolve()) == "/dev/full"]
