"""Wraps pocketsphinx's C interface.

Its own Python module never releases the interpreter lock: the event loop of the call, and with it
the detection of the end of the caller's turn, would wait for every word.
"""

import ctypes
import weakref
from typing import Any

from pocketsphinx import Config, _pocketsphinx  # type: ignore[import-untyped]  # ships no types

from agent.speech.samples import RATE
from llm_router.errors import ConfigurationError

FIRST_MEAN = "50,8,-1,23,-5,-2,4,-6,-1,-5,4,-1,-2"
"""Mean cepstrum that a decoder assumes at first; from then on it adapts to the caller's.

It is the mean of two voices. Of the first words of two other test voices, 9 and 20 in 100 were
wrong with it, against 16 and 28 with pocketsphinx's own 40,3,-1.
"""


class Decoder:
    """Decodes English speech of one voice at 16 kHz; for one thread at a time.

    Making one takes 0.3 s and 90 MB. Every method raises RuntimeError if pocketsphinx cannot do it
    in its current state.
    """

    def __init__(self) -> None:
        # One pass with narrow beams is twice as fast and gets one word in 100 more wrong.
        options = Config(
            samprate=RATE,
            loglevel="FATAL",
            cmninit=FIRST_MEAN,
            fwdflat=False,
            maxhmmpf=3000,
            maxwpf=10,
        )
        config = _library.ps_config_parse_json(None, options.dumps().encode())
        self._decoder = _library.ps_init(config)
        _library.ps_config_free(config)
        if not self._decoder:
            raise RuntimeError("pocketsphinx does not start: its model is missing or damaged")
        weakref.finalize(self, _library.ps_free, self._decoder)
        self._logarithms = _library.ps_get_logmath(self._decoder)

    def start(self) -> None:
        """Begins an utterance."""
        self._check("begin an utterance", _library.ps_start_utt(self._decoder))

    def process(self, pcm: bytes) -> None:
        """Decodes mono 16-bit samples as part of the utterance."""
        result = _library.ps_process_raw(self._decoder, pcm, len(pcm) // 2, 0, 0)
        self._check("decode audio", result)

    def end(self) -> None:
        """Ends the utterance. A last search over all of it may change some of its words."""
        self._check("end an utterance", _library.ps_end_utt(self._decoder))

    def words(self) -> str:
        """Returns the words of the utterance so far; they may still change until it ends."""
        text: bytes | None = _library.ps_get_hyp(self._decoder, None)
        return text.decode() if text else ""

    def confidences(self) -> list[float]:
        """Returns the confidence, 0 to 1, in each word of the utterance that has ended."""
        confidences = []
        segment = _library.ps_seg_iter(self._decoder)
        while segment:
            if _library.ps_seg_word(segment)[:1] not in {b"<", b"["}:
                likelihood = _library.ps_seg_prob(segment, None, None, None)
                confidences.append(min(1.0, _library.logmath_exp(self._logarithms, likelihood)))
            segment = _library.ps_seg_next(segment)  # also frees the one before
        return confidences

    @staticmethod
    def _check(action: str, result: int) -> None:
        if result < 0:
            raise RuntimeError(f"pocketsphinx could not {action}")


def _load() -> Any:
    library = ctypes.CDLL(_pocketsphinx.__file__)
    pointer = ctypes.c_void_p
    text = ctypes.c_char_p
    number = ctypes.c_int
    for name, result, arguments in (
        ("ps_config_parse_json", pointer, (pointer, text)),
        ("ps_config_free", number, (pointer,)),
        ("ps_init", pointer, (pointer,)),
        ("ps_free", number, (pointer,)),
        ("ps_get_logmath", pointer, (pointer,)),
        ("ps_start_utt", number, (pointer,)),
        ("ps_process_raw", number, (pointer, text, ctypes.c_size_t, number, number)),
        ("ps_end_utt", number, (pointer,)),
        ("ps_get_hyp", text, (pointer, pointer)),
        ("ps_seg_iter", pointer, (pointer,)),
        ("ps_seg_next", pointer, (pointer,)),
        ("ps_seg_word", text, (pointer,)),
        ("ps_seg_prob", ctypes.c_int32, (pointer, pointer, pointer, pointer)),
        ("logmath_exp", ctypes.c_double, (pointer, number)),
    ):
        function = getattr(library, name, None)
        if function is None:
            raise ConfigurationError(
                f"STT engine 'embedded': this build of pocketsphinx hides {name}; choose another"
            )
        function.restype = result
        function.argtypes = arguments
    return library


_library = _load()
