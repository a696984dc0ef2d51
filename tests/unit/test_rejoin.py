"""An agent holds its words while LiveKit is away, and its call goes on in a room made anew."""

from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit import rtc
from livekit.agents.voice.io import TextOutput

from agent.progress import VoicedText
from agent.survival.rejoin import Rejoin
from llm_router.clock import SystemClock
from llm_router.testing import ManualClock


class Link(rtc.EventEmitter[str]):
    """The room of an agent, its session, and LiveKit's server. `log` has what happens, in order."""

    def __init__(self, *broken: str, is_slow: bool = False) -> None:
        """`broken`: what LiveKit does not do; it does not answer if it `is_slow`, or refuses."""
        super().__init__()
        self._broken = broken
        self._is_slow = is_slow
        self.log: list[Any] = []
        self.name = "r"
        self.metadata = "desk ab12"
        self.id = "RM_1"
        self.linked_participant: object = object()
        self.audio = SimpleNamespace(
            pause=lambda: self.log.append("pause"), resume=lambda: self.log.append("resume")
        )
        text = SimpleNamespace(flush=lambda: self.log.append("new text"))
        self.transcription_output = SimpleNamespace(next_in_chain=text)
        self.session = SimpleNamespace(
            output=SimpleNamespace(audio=self.audio), room_io=self, agent_state="speaking"
        )
        self.local_participant = SimpleNamespace(
            set_attributes=self._set_attributes, send_text=self._send_text
        )
        self.voiced = VoicedText()
        self.output: TextOutput = self.voiced

    @property
    async def sid(self) -> str:
        return self.id

    async def _fail(self, part: str) -> None:
        if part in self._broken:
            if self._is_slow:
                await moments(1e6)
            raise rtc.StreamError("away")

    async def _set_attributes(self, attributes: dict[str, str]) -> None:
        await self._fail("state")
        self.log.append(attributes)

    async def _send_text(self, text: str, *, topic: str, attributes: dict[str, str]) -> None:
        assert topic == "lk.transcription"
        assert attributes["lk.transcription_final"] == "true"
        await self._fail("text")
        self.log.append(("written", text))

    async def describe(self, room: str, metadata: str) -> None:
        await self._fail("description")
        self.log.append((room, metadata))

    def rejoin(self, *, is_later: bool) -> Rejoin:
        rejoin = Rejoin(
            cast(Any, self.session),
            cast(Any, self),
            self.voiced,
            self.describe,
            SystemClock(),
            on_new_room=self.log.append,
            on_alone=lambda: self.log.append("alone"),
        )
        rejoin.start("RM_1", is_later=is_later)
        self.output = rejoin
        return rejoin

    def lose(self) -> None:
        """LiveKit is away, and makes the room anew."""
        self.emit("reconnecting")
        self.leave()
        self.metadata, self.id = "", "RM_2"

    def leave(self) -> None:
        left, self.linked_participant = self.linked_participant, None
        self.emit("participant_disconnected", left)

    def enter(self) -> None:
        self.linked_participant = object()
        self.emit("participant_connected", self.linked_participant)


def play(
    scene: Callable[[Link], Coroutine[Any, Any, None]],
    link: Link | None = None,
    *,
    is_later: bool = False,
) -> list[Any]:
    """Plays a scene with jumping time; returns what has happened."""
    link = link or Link()

    async def whole() -> None:
        rejoin = link.rejoin(is_later=is_later)
        await scene(link)
        await rejoin.aclose()
        assert not any(link._events.values())

    ManualClock().run(whole())
    return link.log


async def moments(seconds: float) -> None:
    await SystemClock().sleep(seconds)


RESTORED = ["RM_2", "new text", {"lk.agent.state": "speaking"}, ("r", "desk ab12")]


def test_the_voice_goes_on_while_its_connection_is_resumed() -> None:
    async def scene(link: Link) -> None:
        for _ in range(2):
            link.emit("reconnecting")
            await moments(3)
            link.emit("reconnected")
            await moments(0.1)

    assert play(scene) == []


@pytest.mark.parametrize("is_resumed_first", [True, False])
def test_the_voice_stops_while_the_same_room_is_joined_anew(is_resumed_first: bool) -> None:
    async def scene(link: Link) -> None:
        for happens in (link.leave, lambda: link.emit("reconnecting"))[:: 1 - 2 * is_resumed_first]:
            assert link.log == []
            happens()
        assert link.log == ["pause"]
        await moments(1)
        link.enter()
        link.emit("reconnected")
        await moments(0.2)
        assert link.log == ["pause"]  # the caller does not receive the voice yet
        link.emit("local_track_subscribed", object())
        await moments(0.1)

    assert play(scene) == ["pause", "resume"]


def test_a_pause_of_livekit_outlives_the_loss_and_ends_with_livekit() -> None:
    async def scene(link: Link) -> None:
        link.audio.pause()  # the caller speaks
        link.lose()
        link.enter()
        link.emit("reconnected")
        await moments(4)
        assert "resume" not in link.log
        link.audio.resume()

    assert play(scene)[-1] == "resume"


def test_a_speech_that_begins_while_livekit_is_away_is_held_as_well() -> None:
    async def scene(link: Link) -> None:
        link.lose()
        link.audio.resume()
        await moments(4)
        assert link.log == ["pause"]
        link.enter()
        link.emit("reconnected")
        await moments(4)

    assert play(scene)[-1] == "resume"


@pytest.mark.parametrize("is_cut_off", [True, False])
def test_a_caller_who_hangs_up_meanwhile_has_left_the_room_that_was_not_lost(
    is_cut_off: bool,
) -> None:
    async def scene(link: Link) -> None:
        link.emit("reconnecting")
        if is_cut_off:
            link.leave()
            await moments(2)
        else:  # LiveKit says so as the connection is resumed
            await moments(2)
            link.leave()
        link.emit("reconnected")
        await moments(10)

    assert play(scene) == ["pause", "alone"]


def test_a_room_that_is_made_anew_is_restored_and_its_caller_waited_for() -> None:
    async def scene(link: Link) -> None:
        link.lose()
        link.emit("reconnected")
        await moments(5)
        assert link.log == ["pause", *RESTORED]
        link.enter()
        await moments(0.2)
        assert "resume" not in link.log  # the caller does not receive the voice yet
        link.emit("local_track_subscribed", object())
        await moments(0.1)

    assert play(scene) == ["pause", *RESTORED, "resume"]


def test_a_caller_who_receives_no_voice_is_not_waited_for_long() -> None:
    async def scene(link: Link) -> None:
        link.lose()
        link.enter()
        link.emit("reconnected")
        await moments(4)

    assert play(scene)[-1] == "resume"


def test_a_caller_who_does_not_come_back_has_left() -> None:
    async def scene(link: Link) -> None:
        link.lose()
        link.emit("reconnected")
        await moments(70)

    assert play(scene) == ["pause", *RESTORED, "alone"]


def test_a_connection_that_is_lost_again_begins_anew() -> None:
    async def scene(link: Link) -> None:
        link.lose()
        link.emit("reconnected")
        await moments(50)
        link.emit("reconnecting")
        await moments(20)
        assert link.log[-1] == "pause"
        link.emit("reconnected")
        await moments(30)
        assert "resume" not in link.log  # the caller is still away
        link.enter()
        await moments(4)

    assert play(scene) == ["pause", *RESTORED, "pause", *RESTORED[1:], "resume"]


@pytest.mark.parametrize("is_slow", [True, False])
def test_a_call_goes_on_in_a_room_that_gets_nothing_back(is_slow: bool) -> None:
    async def scene(link: Link) -> None:
        await link.output.capture_text("One")
        link.lose()
        link.enter()
        link.emit("reconnected")
        await moments(11)

    broken = Link("state", "description", "text", is_slow=is_slow)
    assert play(scene, broken) == ["pause", "RM_2", "new text", "resume"]


def test_each_part_that_a_room_had_is_given_back_without_the_others() -> None:
    async def scene(link: Link) -> None:
        await link.output.capture_text("One")
        link.lose()
        link.enter()
        link.emit("reconnected")
        await moments(11)

    happened = play(scene, Link("state", is_slow=True))
    assert happened == ["pause", "RM_2", "new text", RESTORED[-1], ("written", "One"), "resume"]


def test_words_that_the_caller_may_not_have_got_are_written_again() -> None:
    async def scene(link: Link) -> None:
        for word in ("One ", "two ", "three "):
            await link.output.capture_text(word)
            await moments(0.4)
        await link.output.capture_text("four ")
        await moments(0.1)
        link.lose()
        await link.output.capture_text("five ")  # the voice had it already
        await moments(5)
        link.enter()
        link.emit("reconnected")
        await moments(2)
        await link.output.capture_text("six ")
        assert link.voiced.text == "One two three four five six "

    assert play(scene)[-2:] == [("written", "four five"), "resume"]


@pytest.mark.parametrize(("comes_after", "happens"), [(0.0, []), (5.0, []), (20.0, ["alone"])])
def test_a_later_agent_whose_caller_has_hung_up_does_not_stay(
    comes_after: float, happens: list[str]
) -> None:
    async def scene(link: Link) -> None:
        link.linked_participant = None
        await moments(comes_after)
        link.enter()
        await moments(10)

    assert play(scene, is_later=True) == happens


def test_a_caller_whom_livekit_links_without_an_event_is_there() -> None:
    async def scene(link: Link) -> None:
        link.linked_participant = None
        await moments(0.1)
        link.linked_participant = object()
        await moments(20)

    assert play(scene, is_later=True) == []
