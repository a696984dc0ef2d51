"""A caller in a real room: speaks recorded sentences, records the agent, reads and types."""

import asyncio
import itertools
import json
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from numpy.typing import NDArray

from agent.media_log import turn_off_media_log
from agent.receptionist.presence import find_agent
from agent.route_notes import REPLY_TOPIC
from agent.text_input import LISTENS
from tests.sounds import samples as sounds

RATE = 48_000
_FRAME = RATE // 100
_SENT = RATE // 50
"""Samples that are sent, and received, at a time: fewer exchanges with LiveKit take less of the
processor that the agent needs, too."""
_SENTENCES = Path(__file__).parent / "sentences"
VOICES = ("rms", "espeak", "awb", "joe", "kal", "slt")
"""The voices of callers. Every one has recorded every sentence."""
AUDIBLE = 150.0
"""RMS of 16-bit samples above which a frame counts as sound; the codec's noise is below 20."""
TRANSCRIPTION, CHAT, STATE = "lk.transcription", "lk.chat", "lk.agent.state"

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Sentence:
    """A sentence that every voice has recorded, with the words that tell it from the others."""

    name: str
    key_words: tuple[str, ...]

    def recording(self, voice: str) -> sounds.Samples:
        """Returns what the voice has recorded, at the rate of `tests.sounds`."""
        file = f"{self.name}.wav" if voice == "rms" else f"{voice}/{self.name}.opus"
        return sounds.read_sound(_SENTENCES / file)

    def spoken_by(self, voice: str) -> Samples:
        """Returns what a caller with this voice sends."""
        return for_call(self.recording(voice))

    def is_recognised_in(self, text: str) -> bool:
        """Returns whether a transcript has at least half of the key words.

        Sound that goes through a call loses one now and then.
        """
        found = [word in text.lower() for word in self.key_words]
        return sum(found) >= len(found) / 2


def sentence(name: str) -> Sentence:
    entry = tomllib.loads((_SENTENCES / "sentences.toml").read_text())[name]
    return Sentence(name, tuple(entry["key_words"]))


@dataclass
class TranscriptLine:
    """A piece of transcript, by the agent or by this caller."""

    by_agent: bool
    text: str
    is_final: bool
    at: float


@dataclass
class SoundFrame:
    """10 ms of the agent's sound, with its loudness and time of arrival (loop time, s)."""

    at: float
    rms: float
    samples: Samples = field(repr=False)


def longest_pause(sound: list[SoundFrame]) -> float:
    """Returns the longest silence (s), counted in frames and not in times of arrival.

    WebRTC delivers a frame for every 10 ms, silence included, so that frames which a busy receiver
    took late do not count as a pause.
    """
    longest = current = 0
    for frame in sound:
        current = 0 if frame.rms > AUDIBLE else current + 1
        longest = max(longest, current)
    return longest * _FRAME / RATE


def longest_delay(sound: list[SoundFrame]) -> float:
    """Returns the longest time between two frames (s).

    Frames arrive regularly whatever the agent does, so this is how long the machine gave this
    process, and with it the agent, no processor.
    """
    return max((b.at - a.at for a, b in itertools.pairwise(sound)), default=0.0)


@dataclass
class Caller:
    room: rtc.Room
    voice: str = VOICES[0]
    lines: list[TranscriptLine] = field(default_factory=list)
    frames: list[SoundFrame] = field(default_factory=list)
    by_speaker: dict[str, list[SoundFrame]] = field(default_factory=dict)
    """The frames of each speaker, by identity."""
    routes: list[dict[str, Any]] = field(default_factory=list)
    _microphone: "asyncio.Queue[tuple[Samples, asyncio.Future[float]]]" = field(
        default_factory=lambda: asyncio.Queue(maxsize=4)
    )
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    _over: set[str] = field(default_factory=set)
    """Tracks that have ended. LiveKit's client plays the next one where they were."""

    # ── Actions of a caller ──────────────────────────────────────────────────────────────────────

    async def wait_for_answer(self, since: float) -> str:
        """Waits for the agent's answer to a question asked at `since`, and returns its words."""
        await self.wait_until(lambda me: me.transcript(by_agent=True, since=since))
        await self.wait_for_silence()
        return self.transcript(by_agent=True, since=since)

    async def say(self, what: Sentence) -> float:
        """Speaks a sentence; returns the time at which its last sound was sent (loop time, s)."""
        return await self.play(what.spoken_by(self.voice))

    async def play(self, samples: Samples) -> float:
        """Sends sound, and returns the time at which its last sample was sent (loop time, s)."""
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        await self._microphone.put((samples, done))
        return await done

    async def type(self, text: str, *, listens: bool | None = None) -> None:
        """Types a message; None leaves it to the agent to find out whether this caller listens."""
        wish = {} if listens is None else {LISTENS: str(listens).lower()}
        await self.room.local_participant.send_text(text, topic=CHAT, attributes=wish)

    async def wait_until(self, what: Callable[["Caller"], Any], within: float = 20.0) -> Any:
        """Waits until `what` returns a true value, and returns it.

        Fails with the state of the call after `within` seconds.
        """
        async with self._changed:
            try:
                async with asyncio.timeout(within):
                    while not (found := what(self)):
                        await self._changed.wait()
            except TimeoutError:
                raise AssertionError(
                    f"never came; voice {self.voice}, state {self.state!r}, lines {self.lines},"
                    f" routes {self.routes}, {len(self.frames)} frames received"
                ) from None
            return found

    async def wait_for_silence(self, seconds: float = 0.6) -> None:
        """Waits until the agent listens and has been silent for `seconds`."""
        loop = asyncio.get_running_loop()
        while True:
            await self.wait_until(lambda me: me.state == "listening")
            last = next((h.at for h in reversed(self.frames) if h.rms > AUDIBLE), 0.0)
            if (rest := last + seconds - loop.time()) <= 0:
                return
            await asyncio.sleep(rest)

    # ── Perceptions of a caller ──────────────────────────────────────────────────────────────────

    @property
    def agent(self) -> rtc.RemoteParticipant | None:
        return find_agent(self.room)

    @property
    def state(self) -> str:
        return self.agent.attributes.get(STATE, "") if self.agent else ""

    def transcript(self, *, by_agent: bool, since: float = 0.0) -> str:
        """Returns the final lines of one side after `since` (loop time, s), as one text."""
        lines = (one for one in self.lines if one.is_final and one.at > since)
        return " ".join(one.text for one in lines if one.by_agent == by_agent)

    def words(self, since: float) -> list[str]:
        """Returns the words of the agent's lines after `since`, of those that broke off as well."""
        return " ".join(one.text for one in self.lines if one.by_agent and one.at > since).split()

    def audible_times(self, since: float) -> list[list[float]]:
        """Returns the times of the audible frames of each speaker after `since` (loop time, s)."""
        speakers = self.by_speaker.values()
        return [[f.at for f in one if f.at > since and f.rms > AUDIBLE] for one in speakers]

    def first_sound(self, since: float) -> float | None:
        return next((h.at for h in self.frames if h.at > since and h.rms > AUDIBLE), None)

    def sound(self, since: float) -> list[SoundFrame]:
        """Returns the frames after `since` (loop time, s), from the first audible to the last."""
        frames = [frame for frame in self.frames if frame.at > since]
        audible = [place for place, frame in enumerate(frames) if frame.rms > AUDIBLE]
        return frames[audible[0] : audible[-1] + 1] if audible else []

    # ── Connection ───────────────────────────────────────────────────────────────────────────────

    def _own(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _attach(self) -> None:
        self.room.on(
            "track_subscribed",
            lambda track, _, who: self._own(self._listen(track, who.identity)),
        )
        self.room.on("track_unsubscribed", lambda track, *_: self._over.add(track.sid))
        for event in (
            "participant_connected",
            "participant_attributes_changed",
            "participant_disconnected",
            "disconnected",
        ):
            self.room.on(event, lambda *_: self._own(self._notify()))
        self.room.register_text_stream_handler(
            TRANSCRIPTION, lambda reader, who: self._own(self._read(reader, who))
        )
        self.room.register_text_stream_handler(
            REPLY_TOPIC, lambda reader, _: self._own(self._read_route(reader))
        )

    async def _listen(self, track: rtc.Track, speaker: str) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO:
            return
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=20)
        try:
            async for event in stream:
                if track.sid in self._over:
                    return
                frames = _sound_frames(event.frame, asyncio.get_running_loop().time())
                self.frames += frames
                self.by_speaker.setdefault(speaker, []).extend(frames)
                if any(frame.rms > AUDIBLE for frame in frames):
                    await self._notify()
        finally:
            await stream.aclose()

    async def _read(self, reader: rtc.TextStreamReader, who: str) -> None:
        by_agent = who != self.room.local_participant.identity
        attributes = reader.info.attributes or {}
        line = TranscriptLine(by_agent, "", False, asyncio.get_running_loop().time())
        self.lines.append(line)
        try:
            async for piece in reader:
                line.text += piece
                await self._notify()
        except rtc.StreamError:  # the agent died while it spoke
            return
        line.is_final = by_agent or attributes.get("lk.transcription_final") == "true"
        await self._notify()

    async def _read_route(self, reader: rtc.TextStreamReader) -> None:
        try:
            note = await reader.read_all()
        except rtc.StreamError:  # as above
            return
        self.routes.append(json.loads(note))
        await self._notify()

    async def _speak(self, source: rtc.AudioSource) -> None:
        """Sends room noise without a pause, and each sentence of `say` in its place."""
        loop = asyncio.get_running_loop()
        noises = itertools.cycle(
            np.random.default_rng(0).integers(-6, 7, (50, _SENT)).astype(np.int16)
        )
        due = loop.time()
        sentence, done = np.zeros(0, np.int16), None
        while True:
            if done is None and not self._microphone.empty():
                sentence, done = self._microphone.get_nowait()
            head, sentence = sentence[:_SENT], sentence[_SENT:]
            frame = np.concatenate([head, next(noises)[len(head) :]])
            await source.capture_frame(rtc.AudioFrame(frame.tobytes(), RATE, 1, _SENT))
            if done and not len(sentence):
                done.set_result(due + len(head) / RATE)
                done = None
            due += _SENT / RATE
            await asyncio.sleep(max(0.0, due - loop.time()))


def _sound_frames(frame: rtc.AudioFrame, at: float) -> list[SoundFrame]:
    """Cuts what has arrived at a moment into pieces of 10 ms, the last of which ends then."""
    pieces = np.frombuffer(frame.data, np.int16).copy().reshape(-1, _FRAME)
    loudness = np.sqrt((pieces.astype(np.float32) ** 2).mean(axis=1))
    return [
        SoundFrame(at - (len(pieces) - 1 - place) * _FRAME / RATE, float(rms), piece)
        for place, (rms, piece) in enumerate(zip(loudness, pieces, strict=True))
    ]


@asynccontextmanager
async def call(
    url: str,
    token: str,
    *,
    microphone: bool = True,
    voice: str = VOICES[0],
    waits_for_agent: bool = True,
) -> AsyncIterator[Caller]:
    """Joins a room, waits until the agent is there, and hangs up at the end."""
    turn_off_media_log()  # it takes of the processor that the agent needs, too
    caller = Caller(rtc.Room(), voice)
    caller._attach()
    await caller.room.connect(url, token)
    source = rtc.AudioSource(RATE, 1)
    try:
        if microphone:
            await caller.room.local_participant.publish_track(
                rtc.LocalAudioTrack.create_audio_track("microphone", source),
                rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
            )
            caller._own(caller._speak(source))
        if waits_for_agent:
            await caller.wait_until(
                lambda me: me.state in {"listening", "speaking", "thinking", "idle"}, 30
            )
        yield caller
    finally:
        for task in list(caller._tasks):
            task.cancel()
        if caller._tasks:
            await asyncio.wait(caller._tasks)
        await caller.room.disconnect()
        await source.aclose()


def for_call(recorded: sounds.Samples) -> Samples:
    """Returns a recording's samples at RATE, up to the last audible one, where the speech ends."""
    resampler = rtc.AudioResampler(sounds.RATE, RATE, quality=rtc.AudioResamplerQuality.HIGH)
    frames = [*resampler.push(bytearray(recorded.tobytes())), *resampler.flush()]
    samples = np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])
    loud = np.flatnonzero(np.abs(samples) > 300)
    return samples[: loud[-1] + 1]
