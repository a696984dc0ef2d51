"""Tests that a caller hears a whole sentence when its model server is killed in the middle."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.live.engines import Engine, Engines
from tests.live.kinds import KINDS
from tests.live.receptionist import ANSWERS, INSTRUCTIONS, QUESTIONS, answer, ask
from tests.voice.caller import Caller, longest_delay, longest_pause
from tests.voice.recogniser import count_mistakes, recognise_words, spoken_words
from tests.voice.stack import VoiceStack, running_stack
from tests.wire.recording import recording_proxy

QUESTION = "discount"
ANSWER = ANSWERS[QUESTION]
LAST_WORD = "repairs"
"""A word of "Students get ten percent off all repairs when they show their card."."""
BEFORE = ("hello", "who", "lock")
"""Questions asked first: after three answers the router knows how slow the first server is, and
waits for it even on a busy machine."""
LONGEST_PAUSE = 0.7  # s, as in tests/voice
MAX_MISTAKES = 1
"""Recognition errors allowed in 12 words, as in tests/voice; the transcript must be exact."""


class KilledAfter:
    """Kills the server once it has sent a word."""

    def __init__(self, engine: Engine, word: str) -> None:
        self._engine = engine
        self._word = word
        self._text = ""
        self.happened = False

    def receive(self, piece: bytes) -> None:
        self._text += "".join(re.findall(r'"content":"([^"]*)"', piece.decode(errors="replace")))
        if self._word in self._text and not self.happened:
            self.happened = True
            self._engine.kill()


def _settings(folder: Path, first: Engine, url: str, spare: Engine) -> dict[str, str]:
    rows = [
        {
            "name": name,
            "server": engine.kind.server,
            "base_url": address,
            "model_name": engine.connection().model_name,
            "api_key": engine.key,
            "temperature": 0,
            "priority": priority,
            "hedge": "never",  # the server to be killed must answer first
        }
        for priority, (name, engine, address) in enumerate(
            [("first", first, url), ("spare", spare, spare.base_url)]
        )
    ]
    connections = folder / "engines.json"
    prompt = folder / "prompt.md"
    connections.write_text(json.dumps({"connections": rows}))
    prompt.write_text(INSTRUCTIONS)
    return {
        "CONNECTIONS_FILE": str(connections),
        "ASSISTANT_PROMPT_FILE": str(prompt),
        "ROUTER_POLICY": "priority",
        "FIRST_WORD_DEADLINE_MIN": "2",  # applies once it was measured; see BEFORE
    }


@pytest.mark.live
@pytest.mark.parametrize("name", ["vllm", "ollama", "llama_cpp"])
async def test_every_word_is_spoken_once_when_a_server_is_killed_in_mid_sentence(
    all_engines: Engines, spare: Engine, tmp_path: Path, name: str
) -> None:
    first = await all_engines.get(KINDS[name], slow=True)
    async with first.provider() as provider:
        await answer(provider, ask(QUESTION))  # the first answer of all takes several times as long
    killed = KilledAfter(first, LAST_WORD)
    async with (
        recording_proxy(first.base_url, lambda _: killed.receive) as url,
        running_stack(tmp_path, **_settings(tmp_path, first, url, spare)) as stack,
    ):
        await _check_whole_answer(stack)
    await first.stop()
    assert killed.happened


async def _check_whole_answer(stack: VoiceStack) -> None:
    async with stack.call() as caller:
        for name in (*BEFORE, QUESTION):
            asked = await _ask(caller, name)
        sound = caller.sound(since=asked)
    assert caller.routes[-1]["connection"] == "spare"
    assert not caller.routes[-1]["last_resort"]
    words = await asyncio.to_thread(recognise_words, ANSWER, sound)
    assert count_mistakes(words, spoken_words(ANSWER)) <= MAX_MISTAKES, words
    assert longest_pause(sound) <= LONGEST_PAUSE + longest_delay(sound)


async def _ask(caller: Caller, name: str) -> float:
    """Asks the question, checks the whole answer, and returns when it was asked (loop time)."""
    asked = asyncio.get_running_loop().time()
    notes = len(caller.routes)
    await caller.type(QUESTIONS[name])
    await caller.wait_until(lambda me: len(me.routes) > notes)
    assert await caller.wait_for_answer(asked) == ANSWERS[name]
    return asked
