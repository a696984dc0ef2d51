"""Tests the whisper model itself, without a speech process."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from agent.speech.hallucination import spoken_words
from agent.speech.models import default_folder, find_whisper
from agent.speech.process.models import Recogniser
from agent.speech.process.models.whisper import load
from llm_router.errors import ConfigurationError
from tests.sounds.channels import telephone
from tests.sounds.non_speech import NON_SPEECH
from tests.sounds.samples import Samples, read_sound, silence
from tests.sounds.short_words.make_short_words import VOICES, path


@pytest.fixture(scope="module")
def model() -> Recogniser:
    return load(str(find_whisper("", "en", default_folder())), threads=1)


def text(model: Recogniser, samples: Samples) -> str:
    sound = np.concatenate([silence(0.3), samples, silence(0.1)])
    decoded = model.decode(sound, language="en", before="")
    return " ".join(word.text for word in spoken_words(decoded))


def plain(spoken: str) -> str:
    return "".join(filter(str.isalnum, spoken.lower()))


@pytest.mark.parametrize("name", sorted(NON_SPEECH.keys() - {"a crowd"}))
def test_no_words_are_made_up_of_a_sound_even_without_a_detector(
    model: Recogniser, name: str
) -> None:
    """A crowd speaks: only a detector of voices tells how long it does."""
    assert text(model, NON_SPEECH[name]()) == ""


@pytest.mark.parametrize("voice", VOICES)
def test_digits_that_a_caller_repeats_stay(model: Recogniser, voice: str) -> None:
    assert plain(text(model, read_sound(path(voice, "one one four")))) == "114"


@pytest.mark.parametrize("voice", ["rms", "slt", "kal"])
def test_a_word_that_a_caller_repeats_stays(model: Recogniser, voice: str) -> None:
    assert plain(text(model, read_sound(path(voice, "no no no")))) == "nonono"


@pytest.mark.parametrize("voice", ["rms", "slt"])
def test_a_word_through_a_telephone_stays(model: Recogniser, voice: str) -> None:
    assert plain(text(model, telephone(read_sound(path(voice, "thank you"))))) == "thankyou"


def test_words_have_their_times_and_probabilities(model: Recogniser) -> None:
    sound = read_sound(path("rms", "thank you"))
    words = model.decode(sound, language="en", before="").words
    assert [plain(word.text) for word in words] == ["thank", "you"]
    for word in words:
        assert 0 <= word.start < word.end <= len(sound) / 16_000
        assert 0 < word.probability <= 1


@pytest.mark.parametrize("count", [0, 1, 320, 1_599])
def test_a_sound_too_short_for_a_word_has_none(model: Recogniser, count: int) -> None:
    decoded = model.decode(np.full(count, 9_000, np.int16), language="en", before="")
    assert decoded.words == ()
    assert decoded.no_speech == 1


def test_threads_share_the_model(model: Recogniser) -> None:
    with ThreadPoolExecutor(2) as threads:
        sounds = [read_sound(path(voice, "thank you")) for voice in ("rms", "slt", "kal")]
        spoken = [*threads.map(lambda sound: plain(text(model, sound)), sounds)]
    assert spoken == ["thankyou"] * 3


def test_another_language_than_the_models_is_refused(model: Recogniser) -> None:
    with pytest.raises(ConfigurationError, match="knows English alone, not 'de'"):
        model.decode(silence(1), language="de", before="")


def test_a_damaged_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ConfigurationError, match="does not load on the cpu: it is damaged, or no"):
        load(str(tmp_path), threads=1)
