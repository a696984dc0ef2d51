"""Recognises speech with whisper, run by CTranslate2: any model that faster-whisper takes."""

import logging
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.speech.process.models import RATE, Decoded, Recogniser, Word
from agent.speech.repetition import without_loops
from agent.speech.whisper_folder import check_whisper
from llm_router.errors import ConfigurationError

try:
    import ctranslate2  # type: ignore[import-untyped]  # ships no types
    from faster_whisper import WhisperModel  # type: ignore[import-untyped]  # ships no types
    from faster_whisper.tokenizer import Tokenizer  # type: ignore[import-untyped]  # ships no types
except ModuleNotFoundError as missing:
    raise ConfigurationError(
        "whisper needs the packages faster-whisper and ctranslate2: run make setup"
    ) from missing

_FRAMES_PER_SECOND = 100
_LONGEST = 30 * _FRAMES_PER_SECOND
"""Frames of features that whisper was trained on; it takes no more."""
_SHORTEST = 12 * _FRAMES_PER_SECOND
"""Frames up to which features are padded with zeros.

Without padding, tiny.en repeats its text in half of our clips. Padded to 8, 10 and 12 s, it gets
14.9, 13.9 and 14.0 of 100 words wrong in 192 clips, a third of them in loud noise, and the encoder
takes 0.06, 0.08 and 0.10 s of work; but on 10 s it adds to digits that a caller repeats.
"""
_BEAM = 3
"""Hypotheses. Of the same words, 1, 2, 3 and 5 get 16.7, 15.1, 14.0 and 14.1 wrong, for 0.04, 0.04,
0.05 and 0.06 s of work. One alone, and five where it is unsure, gets more wrong for hardly less
work."""
_TAIL = 2 * _FRAMES_PER_SECOND
"""Frames of zeros behind longer audio, which tell the model that it ends."""
_WORD = RATE // 10
"""Samples below which audio holds no word; the times of words cannot be found in two frames."""
_TOKENS_PER_SECOND = 7
"""Bound of what a fast speaker says: five words of 1.4 tokens."""
_FEWEST_TOKENS = 8
_MOST_TOKENS = 220
_MOST_TOKENS_BEFORE = 60
_CLEAR = 0.75
"""Probability, among the languages of the call, from which the language of audio is taken."""
_log = logging.getLogger(__name__)


def load(source: str, *, threads: int) -> Recogniser:
    """Loads the model in the folder `source`, onto a GPU where CTranslate2 finds one.

    Raises ConfigurationError if it cannot be loaded.
    """
    folder = Path(source)
    check_whisper(folder, "en")
    if ctranslate2.get_cuda_device_count():
        try:
            return Whisper(folder, "cuda", threads)
        except ConfigurationError as reason:
            _log.warning("%s; it runs without the GPU", reason)
    return Whisper(folder, "cpu", threads)


class Whisper:
    """A whisper model that several threads may use at once; its weights are in memory once."""

    def __init__(self, folder: Path, device: str, threads: int) -> None:
        """`device`: `cpu` or `cuda`. Takes as long as loading and a first decode do.

        Raises ConfigurationError if the model cannot be loaded or used.
        """
        self._folder = folder
        self._tokenizers: dict[str, Any] = {}
        try:
            self._model: Any = WhisperModel(
                str(folder),
                device=device,
                compute_type="int8" if device == "cpu" else "auto",
                cpu_threads=max(1, threads // 2),  # the others are for calls and other decodes
                num_workers=threads,
                local_files_only=True,
            )
            self.decode(np.zeros(RATE, np.int16), language="en", before="")
        except Exception as error:  # CTranslate2 and tokenizers raise several of their own
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise ConfigurationError(
                f"whisper model {folder} does not load on the {device}: it is damaged, or no"
                f" faster-whisper model ({reason})"
            ) from error

    def decode(
        self,
        samples: NDArray[np.int16],
        *,
        language: str,
        before: str,
        among: Collection[str] = (),
    ) -> Decoded:
        """Decodes up to 30 s of mono audio at 16 kHz.

        Words repeated by the model, not by the speaker, are left out. Raises ConfigurationError
        for a language that the model does not know.
        """
        if len(samples) < _WORD:
            return Decoded(words=(), no_speech=1.0)
        seconds = len(samples) / RATE
        features = self._model.feature_extractor(samples.astype(np.float32) / 2**15)
        features = features[:, :_LONGEST]
        frames = features.shape[1]
        padded = min(_LONGEST, max(_SHORTEST, frames + _TAIL))
        encoded = self._model.encode(np.pad(features, ((0, 0), (0, padded - frames))))
        spoken = self._language(encoded, among)
        tokenizer = self._tokenizer(spoken or language)
        prompt = [*_earlier(tokenizer, before), *tokenizer.sot_sequence, tokenizer.no_timestamps]
        most = min(_MOST_TOKENS, _FEWEST_TOKENS + int(seconds * _TOKENS_PER_SECOND))
        [result] = self._model.model.generate(
            encoded,
            [prompt],
            beam_size=_BEAM,
            max_length=max(2 * most, len(prompt) + most),  # CTranslate2 halves it
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = [token for token in result.sequences_ids[0] if token < tokenizer.eot]
        # A score is the mean over the tokens and the end of the text.
        return Decoded(
            words=without_loops(self._words(tokenizer, tokens, encoded, frames)),
            no_speech=result.no_speech_prob,
            average_log_probability=result.scores[0],
            language=spoken,
        )

    def _language(self, encoded: Any, among: Collection[str]) -> str:
        """Returns which of whisper's codes the audio is in; empty: that is not clear."""
        if not among or not self._model.model.is_multilingual:
            return ""
        [found] = self._model.model.detect_language(encoded)
        chances = {mark[2:-2]: chance for mark, chance in found if mark[2:-2] in among}
        best = max(chances, key=chances.__getitem__, default="")
        return best if chances and chances[best] >= _CLEAR * sum(chances.values()) else ""

    def _tokenizer(self, language: str) -> Any:
        """Makes the tokenizer of a language once: the check reads files, and a decode has no time.

        Two threads may make it at the same time; either is as good.
        """
        if language not in self._tokenizers:
            multilingual = self._model.model.is_multilingual
            code = check_whisper(self._folder, language)
            self._tokenizers[language] = Tokenizer(
                self._model.hf_tokenizer, multilingual, "transcribe", code
            )
        return self._tokenizers[language]

    def _words(
        self, tokenizer: Any, tokens: list[int], encoded: Any, frames: int
    ) -> tuple[Word, ...]:
        """Finds the times of the words by the attention of the decoder to the audio."""
        if not tokens:
            return ()
        [aligned] = self._model.find_alignment(tokenizer, [tokens], encoded, frames)
        words: list[Word] = []
        for one in aligned:
            text = one["word"].strip()
            if not text:
                continue
            # A mark belongs to its word, as the second half of "cold-hearted" does.
            if words and (text.startswith("-") or not any(map(str.isalnum, text))):
                words[-1] = replace(words[-1], text=words[-1].text + text)
                continue
            words.append(
                Word(
                    text=text,
                    start=float(one["start"]),
                    end=float(one["end"]),
                    probability=float(one["probability"]),
                )
            )
        return tuple(words)


def _earlier(tokenizer: Any, before: str) -> list[int]:
    """Returns the prompt for the words before the audio; empty without any."""
    if not before.strip():
        return []
    tokens = tokenizer.encode(" " + before.strip())[-_MOST_TOKENS_BEFORE:]
    return [tokenizer.sot_prev, *tokens]
