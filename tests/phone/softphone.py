"""A telephone: baresip, steered over its control port. It records what it hears and what it says.

Times come from its events, and from the recordings: both begin when the call is answered.
"""

import asyncio
import json
import random
import shutil
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.sounds import samples as sounds
from tests.sounds.samples import RATE, Samples
from tests.voice.caller import AUDIBLE, Sentence
from tests.voice.recogniser import recognise_samples

_MODULES = Path("/usr/lib/baresip/modules")
_CODECS = {"g722": 16_000, "g711": 8_000}
_HEADER = 44
"""Bytes before the samples in a recording."""
_POLL_INTERVAL = 0.05  # s
_PORTS = 21_000, 32_000
"""Ports that systems give to no connection by themselves."""
_TRIES = 100
_LONGEST = 600
"""Seconds of silence after what is said: baresip hangs up where its sound ends."""

_CONFIG = """\
poll_method epoll
sip_listen {host}:{sip_port}
net_interface {host}
call_local_timeout 120
call_max_calls 4
audio_source aufile,{silence}
ausrc_srate {rate}
audio_buffer 20-160
jitter_buffer_delay 1-5
rtp_ports {audio_port}-{audio_end}
snd_path {folder}
ctrl_tcp_listen {host}:{control_port}
module_path {modules}
module {codec}.so
module aufile.so
module sndfile.so
module srtp.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
"""


@dataclass(frozen=True, slots=True)
class PhoneEvent:
    """A report of baresip about its call, and its time (loop time, s)."""

    kind: str
    detail: str
    peer: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """How a telephone presents itself: its number, its password for a trunk, and how it answers."""

    number: str
    user: str = ""
    password: str = field(default="", repr=False)
    answers: bool = False
    codec: str = "g722"
    port: int = 0
    """Port at which it can be called; 0: any."""
    host: str = "127.0.0.1"
    encrypts: bool = False
    """Whether it takes no sound but encrypted one (SRTP)."""


@dataclass
class Softphone:
    """A running telephone on this machine, with one call at a time."""

    folder: Path
    address: str
    """Where it can be called: host and port."""
    server: str
    """Host and port of the SIP server that it calls."""
    account: Account
    events: list[PhoneEvent] = field(default_factory=list)
    _writer: asyncio.StreamWriter | None = None
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _said: int = 0

    # ── What its user does ───────────────────────────────────────────────────────────────────────

    async def dial(self, number: str, *, within: float = 30.0) -> PhoneEvent:
        """Calls a number and waits until it is answered; returns that event."""
        await self.ring(number)
        return await self.wait_for("CALL_ESTABLISHED", within=within)

    async def ring(self, number: str) -> None:
        """Calls a number, and does not wait for an answer."""
        await self.command("dial", f"sip:{number}@{self.server}")

    async def accept(self) -> PhoneEvent:
        """Answers the call that rings; returns that event."""
        await self.wait_for("CALL_INCOMING")
        await self.command("accept")
        return await self.wait_for("CALL_ESTABLISHED")

    async def reject(self) -> None:
        """Refuses the call that rings, as busy (486)."""
        await self.wait_for("CALL_INCOMING")
        await self.command("hangup")

    async def hang_up(self) -> None:
        await self.command("hangup")

    async def press(self, digits: str) -> None:
        """Presses keys, one after another, as RFC 4733 sends them."""
        for digit in digits:
            await self.command("sndcode", digit)

    async def say(self, what: Sentence, voice: str = "rms") -> float:
        """Speaks a sentence; returns where in the recordings its last sound was sent (s)."""
        return await self.play(what.recording(voice))

    async def play(self, samples: Samples) -> float:
        """Sends sound; returns where in the recordings its last audible sample was sent (s)."""
        self._said += 1
        file = self.folder / f"say-{self._said}.wav"
        await asyncio.to_thread(_write_sound, file, samples, _CODECS[self.account.codec])
        began = self.seconds("enc")
        await self.command("ausrc", f"aufile,{file}")
        length = float(np.flatnonzero(np.abs(samples) > AUDIBLE)[-1]) / RATE
        await self.wait_until(lambda me: me.seconds("enc") >= began + length + 0.5, length + 15)
        sent = self.recording("enc", since=began)
        return began + float(np.flatnonzero(np.abs(sent) > AUDIBLE)[-1]) / RATE

    async def command(self, name: str, argument: str = "") -> None:
        """Gives baresip one command of its menu."""
        assert self._writer
        line = json.dumps({"command": name, "params": argument, "token": "test"}).encode()
        self._writer.write(str(len(line)).encode() + b":" + line + b",")
        await self._writer.drain()

    # ── What it perceives ────────────────────────────────────────────────────────────────────────

    def has(self, kind: str, *, since: float = 0.0) -> PhoneEvent | None:
        return next((one for one in self.events if one.kind == kind and one.at >= since), None)

    async def wait_for(self, kind: str, *, within: float = 30.0, since: float = 0.0) -> PhoneEvent:
        """Waits for an event of baresip's, such as CALL_CLOSED, and returns it."""
        async with self._changed:
            try:
                async with asyncio.timeout(within):
                    while not (found := self.has(kind, since=since)):
                        await self._changed.wait()
            except TimeoutError:
                raise AssertionError(f"no {kind} in {within} s; there were {self.events}") from None
        return found

    @property
    def digits(self) -> str:
        """The keys that the other side has pressed."""
        return "".join(one.detail for one in self.events if one.kind == "CALL_DTMF_START")

    def recording(self, way: str = "dec", *, since: float = 0.0) -> Samples:
        """Returns the sound received in the last call so far (`dec`), or sent in it (`enc`), from a
        second of it on.
        """
        if not (file := self._file(way)):
            return np.zeros(0, np.int16)
        with file.open("rb") as opened:  # the rest of a long call is not read at each look
            opened.seek(_HEADER + 2 * round(since * self._rate))
            found = np.frombuffer(_whole_samples(opened.read()), np.int16)
        return found if self._rate == RATE else np.repeat(found, RATE // self._rate)

    def seconds(self, way: str = "dec") -> float:
        """Returns the length of a recording so far."""
        file = self._file(way)
        return max(0, file.stat().st_size - _HEADER) / 2 / self._rate if file else 0.0

    def words(self, text: str, *, since: float = 0.0) -> list[str]:
        """Returns the words of a known text received after `since` (s in the recording)."""
        return recognise_samples(text, self.recording(since=since))

    def first_sound(self, since: float = 0.0) -> float | None:
        """Returns when the other side was first audible after `since` (s in the recording)."""
        audible = self._audible(since)
        return since + audible[0] / 100 if audible.size else None

    def longest_silence(self, since: float, until: float) -> float:
        """Returns the longest time between two sounds of the other side in a part (s)."""
        audible = since + self._audible(since) / 100
        edges = np.concatenate([[since], audible[audible < until], [until]])
        return float(np.diff(edges).max())

    async def wait_until_silent(
        self, seconds: float = 0.8, *, since: float = 0.0, within: float = 30.0
    ) -> float:
        """Waits until the other side has spoken after `since` and then been silent for `seconds`.

        Returns where its last sound is (s in the recording).
        """

        def last_sound(me: Softphone) -> float:
            audible = me._audible(since)
            last = since + (audible[-1] + 1) / 100 if audible.size else 0.0
            return last if last and me.seconds() >= last + seconds else 0.0

        return float(await self.wait_until(last_sound, within))

    async def wait_until(self, what: Callable[["Softphone"], Any], within: float = 30.0) -> Any:
        """Waits until `what` returns a true value, and returns it."""
        try:
            async with asyncio.timeout(within):
                while not (found := what(self)):  # noqa: ASYNC110  a recording grows unannounced
                    await asyncio.sleep(_POLL_INTERVAL)
        except TimeoutError:
            raise AssertionError(
                f"never came; {self.seconds():.1f} s recorded, events {self.events}"
            ) from None
        return found

    def _audible(self, since: float) -> Any:
        """Returns the numbers of the audible 10 ms after `since`."""
        received = self.recording(since=since)
        pieces = received[: len(received) // 160 * 160].reshape(-1, 160).astype(np.float32)
        return np.flatnonzero(np.sqrt((pieces**2).mean(axis=1)) > AUDIBLE)

    @property
    def _rate(self) -> int:
        return _CODECS[self.account.codec]

    def _file(self, way: str) -> Path | None:
        files = sorted(self.folder.glob(f"dump-*-{way}.wav"))
        return files[-1] if files else None

    # ── Connection ───────────────────────────────────────────────────────────────────────────────

    async def _connect(
        self, port: int, process: asyncio.subprocess.Process
    ) -> asyncio.StreamReader:
        while True:
            with suppress(OSError):
                reader, self._writer = await asyncio.open_connection(self.account.host, port)
                return reader
            assert process.returncode is None, (self.folder / "log").read_text()
            await asyncio.sleep(_POLL_INTERVAL)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                message = json.loads((await reader.readexactly(length + 1))[:-1])
                if message.get("event"):
                    at = asyncio.get_running_loop().time()
                    kind, detail, peer = (message.get(n, "") for n in ("type", "param", "peeruri"))
                    async with self._changed:
                        self.events.append(PhoneEvent(kind, detail, peer, at))
                        self._changed.notify_all()


@asynccontextmanager
async def running_phone(folder: Path, server: str, account: Account) -> AsyncIterator[Softphone]:
    """Runs a telephone during the block. Its calls end with it."""
    program = shutil.which("baresip")
    assert program, "install Debian's baresip"
    sip_port = account.port or free_port()
    control_port = free_port()
    await asyncio.to_thread(_write_folder, folder, account, (sip_port, control_port, free_port()))
    phone = Softphone(folder, f"{account.host}:{sip_port}", server, account)
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(program, "-f", str(folder), "-s"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    reading: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(20):
            reader = await phone._connect(control_port, process)
        reading = asyncio.create_task(phone._read(reader))
        yield phone
    finally:
        with suppress(TimeoutError, ConnectionError, AssertionError):  # it does not end by itself
            await phone.command("quit")
            async with asyncio.timeout(3):
                await process.wait()
        if reading is not None:
            reading.cancel()
            await asyncio.wait({reading})
        if phone._writer:
            phone._writer.close()
            with suppress(ConnectionError):
                await phone._writer.wait_closed()
        if process.returncode is None:
            process.kill()
        await process.wait()


def _write_folder(folder: Path, account: Account, ports: tuple[int, int, int]) -> None:
    """Writes what baresip reads at its start."""
    sip_port, control_port, audio_port = ports
    folder.mkdir(parents=True)
    _write_sound(folder / "silence.wav", sounds.silence(0), _CODECS[account.codec])
    (folder / "config").write_text(
        _CONFIG.format(
            host=account.host,
            sip_port=sip_port,
            control_port=control_port,
            audio_port=audio_port,
            audio_end=audio_port + 20,
            silence=folder / "silence.wav",
            rate=_CODECS[account.codec],
            folder=folder,
            modules=_MODULES,
            codec=account.codec,
        )
    )
    mode = "auto" if account.answers else "manual"
    login = f";auth_user={account.user};auth_pass={account.password}" if account.user else ""
    srtp = ";mediaenc=srtp-mand" if account.encrypts else ""
    options = f"regint=0;answermode={mode}{login}{srtp}"
    line = f"<sip:{account.number}@{account.host}:{sip_port}>;{options}\n"
    (folder / "accounts").write_text(line)
    (folder / "contacts").touch()


def free_port() -> int:
    """Returns a port that is free for UDP and TCP, and that no connection gets by chance."""
    for _ in range(_TRIES):
        port = random.randrange(*_PORTS, 2)
        with ExitStack() as held, suppress(OSError):
            for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                held.enter_context(socket.socket(socket.AF_INET, kind)).bind(("", port))
            return port
    raise AssertionError(f"all of {_TRIES} ports are in use")


def _write_sound(file: Path, samples: Samples, rate: int) -> None:
    """Writes sound at the codec's rate, with long silence after it that takes no place on disk."""
    part = samples if rate == RATE else samples[:: RATE // rate]
    length = 2 * (len(part) + rate * _LONGEST)
    header = (
        b"RIFF",
        36 + length,
        b"WAVE",
        b"fmt ",
        16,
        1,
        1,
        rate,
        2 * rate,
        2,
        16,
        b"data",
        length,
    )
    with file.open("wb") as opened:
        opened.write(struct.pack("<4sI4s4sIHHIIHH4sI", *header))
        opened.write(part.tobytes())
        opened.truncate(_HEADER + length)


def _whole_samples(data: bytes) -> bytes:
    return data[: len(data) // 2 * 2]
