"""A real model server dies in the middle of a sentence that a caller hears: another finishes it."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.live.engines import Engine, Engines
from tests.live.kinds import KINDS
from tests.live.receptionist import ANSWERS, INSTRUCTIONS, QUESTIONS
from tests.voice.caller import longest_pause, withheld
from tests.voice.house import House, running_house
from tests.voice.listening import mistakes, spoken_words, words_in
from tests.wire.recording import listening_in

ANSWER = ANSWERS["hours"]
LAST_WORD = "nine"
"""Of "We are open Monday to Friday from nine in the morning until six in the evening. …"."""
LONGEST_PAUSE = 0.7  # s, as in tests/voice
MISHEARD = 2
"""Words of 22, by a recogniser that knows the words and no grammar. Without tolerance is the
transcript."""


class KilledAfter:
    """Kills the server once it has said a word."""

    def __init__(self, engine: Engine, word: str) -> None:
        self._engine, self._word = engine, word.encode()
        self.happened = False

    def hear(self, piece: bytes) -> None:
        if self._word in piece and not self.happened:
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
        }
        for priority, (name, engine, address) in enumerate(
            [("first", first, url), ("spare", spare, spare.base_url)]
        )
    ]
    connections, prompt = folder / "engines.json", folder / "prompt.md"
    connections.write_text(json.dumps({"connections": rows}))
    prompt.write_text(INSTRUCTIONS)
    return {"CONNECTIONS_FILE": str(connections), "ASSISTANT_PROMPT_FILE": str(prompt)}


@pytest.mark.live
@pytest.mark.parametrize("name", ["vllm", "ollama", "llama_cpp"])
async def test_every_word_is_heard_once_when_a_server_is_killed_in_mid_sentence(
    all_engines: Engines, spare: Engine, tmp_path: Path, name: str
) -> None:
    first = await all_engines.get(KINDS[name], slow=True)
    killed = KilledAfter(first, LAST_WORD)
    async with (
        listening_in(first.base_url, killed.hear) as url,
        running_house(tmp_path, **_settings(tmp_path, first, url, spare)) as house,
    ):
        await _hear_it_whole(house)
    await first.stop()
    assert killed.happened


async def _hear_it_whole(house: House) -> None:
    async with house.call() as caller:
        asked = asyncio.get_running_loop().time()
        await caller.type(QUESTIONS["hours"])
        await caller.until(lambda me: me.routes)
        assert await caller.hear_out(asked) == ANSWER
        sound = caller.sound(since=asked)
    assert caller.routes[-1]["connection"] == "spare"
    assert not caller.routes[-1]["last_resort"]
    said = spoken_words(ANSWER)
    heard = await asyncio.to_thread(words_in, sound, " | ".join(sorted({*said})))
    assert mistakes(heard, said) <= MISHEARD, heard
    assert longest_pause(sound) <= LONGEST_PAUSE + withheld(sound)
