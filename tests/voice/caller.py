"""A caller in a real room: speaks recorded sentences, listens, reads along and types."""

import asyncio
import itertools
import json
import tomllib
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from numpy.typing import NDArray

from agent.route_notes import REPLY_TOPIC

RATE = 48_000
_FRAME = RATE // 100
_SENTENCES = Path(__file__).parent / "sentences"
AUDIBLE = 150.0
"""RMS of 16-bit samples above which a frame counts as sound; the codec's own noise is below 20."""
TRANSCRIPTION, CHAT, STATE = "lk.transcription", "lk.chat", "lk.agent.state"

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Sentence:
    """A recording, and the words in it that the recogniser hears best."""

    file: Path
    key_words: tuple[str, ...]

    def is_heard_in(self, text: str) -> bool:
        """At least half of the key words: sound that went through a call loses one now and then."""
        heard = [word in text.lower() for word in self.key_words]
        return sum(heard) >= len(heard) / 2


def sentence(name: str) -> Sentence:
    entry = tomllib.loads((_SENTENCES / "sentences.toml").read_text())[name]
    return Sentence(_SENTENCES / f"{name}.wav", tuple(entry["key_words"]))


@dataclass
class Line:
    """One piece of transcript; `by_agent` or by this caller."""

    by_agent: bool
    text: str
    is_final: bool
    at: float


@dataclass
class Heard:
    """10 ms of the agent's sound, how loud they are, and when they came (loop time, s)."""

    at: float
    rms: float
    samples: Samples = field(repr=False)


def longest_pause(sound: list[Heard]) -> float:
    """Seconds without an audible sound, at most, counted in the sound itself: WebRTC hands over
    10 ms after 10 ms, silence included, so that what a busy listener took late is no pause.
    """
    longest = now = 0
    for heard in sound:
        now = 0 if heard.rms > AUDIBLE else now + 1
        longest = max(longest, now)
    return longest * _FRAME / RATE


def withheld(sound: list[Heard]) -> float:
    """Seconds between two frames, at most. They come by the clock whatever the agent does, so this
    is how long the machine kept the listener, and with it the agent, from a processor.
    """
    return max((b.at - a.at for a, b in itertools.pairwise(sound)), default=0.0)


@dataclass
class Caller:
    room: rtc.Room
    lines: list[Line] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)
    routes: list[dict[str, Any]] = field(default_factory=list)
    _microphone: "asyncio.Queue[tuple[Samples, asyncio.Future[float]]]" = field(
        default_factory=lambda: asyncio.Queue(maxsize=4)
    )
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    # ── What a person does ───────────────────────────────────────────────────────────────────────

    async def hear_out(self, since: float) -> str:
        """Until the agent has answered what was asked before that moment; the words of it."""
        await self.until(lambda me: me.said(by_agent=True, since=since))
        await self.silence()
        return self.said(by_agent=True, since=since)

    async def say(self, what: Sentence) -> float:
        """Speak a recording; returns when its last sound has left (loop time, s)."""
        done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        await self._microphone.put((read_wav(what.file), done))
        return await done

    async def type(self, text: str) -> None:
        await self.room.local_participant.send_text(text, topic=CHAT)

    async def until(self, what: Callable[["Caller"], Any], within: float = 20.0) -> Any:
        """Wait until something holds; its value. Fails with what was there instead."""
        async with self._changed:
            try:
                async with asyncio.timeout(within):
                    while not (found := what(self)):
                        await self._changed.wait()
            except TimeoutError:
                raise AssertionError(
                    f"never came; state {self.state!r}, lines {self.lines}, routes {self.routes},"
                    f" {len(self.heard)} frames heard"
                ) from None
            return found

    async def silence(self, seconds: float = 0.6) -> None:
        """Until the agent has been quiet for so long and listens."""
        loop = asyncio.get_running_loop()
        while True:
            await self.until(lambda me: me.state == "listening")
            last = next((h.at for h in reversed(self.heard) if h.rms > AUDIBLE), 0.0)
            if (rest := last + seconds - loop.time()) <= 0:
                return
            await asyncio.sleep(rest)

    # ── What a person notices ────────────────────────────────────────────────────────────────────

    @property
    def agent(self) -> rtc.RemoteParticipant | None:
        people = self.room.remote_participants.values()
        return next(
            (p for p in people if p.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT), None
        )

    @property
    def state(self) -> str:
        return self.agent.attributes.get(STATE, "") if self.agent else ""

    def said(self, *, by_agent: bool, since: float = 0.0) -> str:
        """The final lines of one side, from a moment on."""
        lines = (one for one in self.lines if one.is_final and one.at > since)
        return " ".join(one.text for one in lines if one.by_agent == by_agent)

    def first_sound(self, since: float) -> float | None:
        return next((h.at for h in self.heard if h.at > since and h.rms > AUDIBLE), None)

    def sound(self, since: float) -> list[Heard]:
        """All that came from a moment on, from the first audible 10 ms to the last."""
        came = [h for h in self.heard if h.at > since]
        audible = [place for place, h in enumerate(came) if h.rms > AUDIBLE]
        return came[audible[0] : audible[-1] + 1] if audible else []

    # ── Plumbing ─────────────────────────────────────────────────────────────────────────────────

    def _own(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _attach(self) -> None:
        self.room.on("track_subscribed", lambda track, *_: self._own(self._listen(track)))
        for event in (
            "participant_connected",
            "participant_attributes_changed",
            "participant_disconnected",
            "disconnected",
        ):
            self.room.on(event, lambda *_: self._own(self._tell()))
        self.room.register_text_stream_handler(
            TRANSCRIPTION, lambda reader, who: self._own(self._read(reader, who))
        )
        self.room.register_text_stream_handler(
            REPLY_TOPIC, lambda reader, _: self._own(self._read_route(reader))
        )

    async def _listen(self, track: rtc.Track) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO:
            return
        stream = rtc.AudioStream(track, sample_rate=RATE, num_channels=1, frame_size_ms=10)
        try:
            async for event in stream:
                samples = np.frombuffer(event.frame.data, np.int16).copy()
                rms = float(np.sqrt((samples.astype(np.float32) ** 2).mean()))
                self.heard.append(Heard(asyncio.get_running_loop().time(), rms, samples))
                if rms > AUDIBLE:
                    await self._tell()
        finally:
            await stream.aclose()

    async def _read(self, reader: rtc.TextStreamReader, who: str) -> None:
        by_agent = who != self.room.local_participant.identity
        attributes = reader.info.attributes or {}
        line = Line(by_agent, "", False, asyncio.get_running_loop().time())
        self.lines.append(line)
        async for piece in reader:
            line.text += piece
            await self._tell()
        line.is_final = by_agent or attributes.get("lk.transcription_final") == "true"
        await self._tell()

    async def _read_route(self, reader: rtc.TextStreamReader) -> None:
        self.routes.append(json.loads(await reader.read_all()))
        await self._tell()

    async def _speak(self, source: rtc.AudioSource) -> None:
        """A microphone that is always open: room noise, and now and then a sentence."""
        loop, noise = asyncio.get_running_loop(), np.random.default_rng(0)
        due = loop.time()
        sentence, done = np.zeros(0, np.int16), None
        while True:
            if done is None and not self._microphone.empty():
                sentence, done = self._microphone.get_nowait()
            frame = noise.integers(-6, 7, _FRAME).astype(np.int16)
            head, sentence = sentence[:_FRAME], sentence[_FRAME:]
            frame[: len(head)] = head
            await source.capture_frame(rtc.AudioFrame(frame.tobytes(), RATE, 1, _FRAME))
            due += 0.01
            if done and not len(sentence):
                done.set_result(due)
                done = None
            await asyncio.sleep(max(0.0, due - loop.time()))


@asynccontextmanager
async def call(url: str, token: str, *, microphone: bool = True) -> AsyncIterator[Caller]:
    """Join, wait until the agent is there and listens; hang up at the end."""
    caller = Caller(rtc.Room())
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
        await caller.until(lambda me: me.state in {"listening", "speaking", "thinking", "idle"}, 30)
        yield caller
    finally:
        for task in list(caller._tasks):
            task.cancel()
        if caller._tasks:
            await asyncio.wait(caller._tasks)
        await caller.room.disconnect()
        await source.aclose()


def read_wav(file: Path) -> Samples:
    """Its samples at RATE, up to the last audible one, so that they end when the speech does."""
    with wave.open(str(file)) as recording:
        resampler = rtc.AudioResampler(
            recording.getframerate(), RATE, quality=rtc.AudioResamplerQuality.HIGH
        )
        raw = bytearray(recording.readframes(recording.getnframes()))
    frames = [*resampler.push(raw), *resampler.flush()]
    samples = np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])
    loud = np.flatnonzero(np.abs(samples) > 300)
    return samples[: loud[-1] + 1]
