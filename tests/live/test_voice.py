"""A real model server dies in the middle of a sentence that a caller hears: another finishes it."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from tests.live.engines import Engine, Engines
from tests.live.kinds import KINDS
from tests.live.receptionist import ANSWERS, INSTRUCTIONS, QUESTIONS, answer, ask
from tests.voice.caller import Caller, longest_pause, withheld
from tests.voice.recogniser import mistakes, spoken_words, words_of
from tests.voice.stack import House, running_house
from tests.wire.recording import listening_in

ASKED, ANSWER = "discount", ANSWERS["discount"]
LAST_WORD = "repairs"
"""Of "Students get ten percent off all repairs when they show their card."."""
BEFORE = ("hello", "who", "lock")
"""Asked first: after three answers the router knows how slow the first server is, and waits for it,
however busy the machine.
"""
LONGEST_PAUSE = 0.7  # s, as in tests/voice
MISHEARD = 1
"""Words of 12, as in tests/voice. Without tolerance is the transcript."""


class KilledAfter:
    """Kills the server once it has said a word."""

    def __init__(self, engine: Engine, word: str) -> None:
        self._engine, self._word = engine, word
        self._said = ""
        self.happened = False

    def hear(self, piece: bytes) -> None:
        self._said += "".join(re.findall(r'"content":"([^"]*)"', piece.decode(errors="replace")))
        if self._word in self._said and not self.happened:
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
            "hedge": "never",  # who is to be killed shall speak first
        }
        for priority, (name, engine, address) in enumerate(
            [("first", first, url), ("spare", spare, spare.base_url)]
        )
    ]
    connections, prompt = folder / "engines.json", folder / "prompt.md"
    connections.write_text(json.dumps({"connections": rows}))
    prompt.write_text(INSTRUCTIONS)
    return {
        "CONNECTIONS_FILE": str(connections),
        "ASSISTANT_PROMPT_FILE": str(prompt),
        "ROUTER_POLICY": "priority",
        "FIRST_WORD_DEADLINE_MIN": "2",  # once it was measured; see BEFORE
    }


@pytest.mark.live
@pytest.mark.parametrize("name", ["vllm", "ollama", "llama_cpp"])
async def test_every_word_is_heard_once_when_a_server_is_killed_in_mid_sentence(
    all_engines: Engines, spare: Engine, tmp_path: Path, name: str
) -> None:
    first = await all_engines.get(KINDS[name], slow=True)
    async with first.provider() as provider:
        await answer(provider, ask(ASKED))  # the first answer of all takes several times as long
    killed = KilledAfter(first, LAST_WORD)
    async with (
        listening_in(first.base_url, lambda _: killed.hear) as url,
        running_house(tmp_path, **_settings(tmp_path, first, url, spare)) as house,
    ):
        await _hear_it_whole(house)
    await first.stop()
    assert killed.happened


async def _hear_it_whole(house: House) -> None:
    async with house.call() as caller:
        for name in (*BEFORE, ASKED):
            asked = await _hear_the_answer(caller, name)
        sound = caller.sound(since=asked)
    assert caller.routes[-1]["connection"] == "spare"
    assert not caller.routes[-1]["last_resort"]
    heard = await asyncio.to_thread(words_of, ANSWER, sound)
    assert mistakes(heard, spoken_words(ANSWER)) <= MISHEARD, heard
    assert longest_pause(sound) <= LONGEST_PAUSE + withheld(sound)


async def _hear_the_answer(caller: Caller, name: str) -> float:
    """Ask, and hear all of the answer; when it was asked."""
    asked, notes = asyncio.get_running_loop().time(), len(caller.routes)
    await caller.type(QUESTIONS[name])
    await caller.until(lambda me: len(me.routes) > notes)
    assert await caller.hear_out(asked) == ANSWERS[name]
    return asked
