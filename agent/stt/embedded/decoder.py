"""pocketsphinx by its C interface: its own Python module never lets go of the interpreter lock, so
that the loop of the call, and with it the end of the caller's turn, would wait for every word.
"""

import ctypes
import weakref
from typing import Any

from pocketsphinx import Config, _pocketsphinx  # type: ignore[import-untyped]  # ships no types

from llm_router.errors import ConfigurationError

RATE = 16_000
FIRST_MEAN = "50,8,-1,23,-5,-2,4,-6,-1,-5,4,-1,-2"
"""The mean cepstrum that a decoder expects before it has heard anything; from then on it follows
the caller's. With pocketsphinx's own, 40,3,-1, of the first words of two test voices 16 and 28 in
100 were wrong, and with this one, the mean of two other voices, 9 and 20."""


class Decoder:
    """Hears one voice, English, at 16 kHz; for one thread at a time.

    Raises RuntimeError for what it cannot do in the state it is in. Takes 0.3 s and 90 MB.
    """

    def __init__(self) -> None:
        # One pass, narrow beams: one word in 100 worse, and twice as fast.
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
        """Begin an utterance."""
        self._checked("begin an utterance", _library.ps_start_utt(self._decoder))

    def hear(self, pcm: bytes) -> None:
        """Mono 16-bit samples."""
        heard = _library.ps_process_raw(self._decoder, pcm, len(pcm) // 2, 0, 0)
        self._checked("hear", heard)

    def end(self) -> None:
        """End the utterance. Its words are weighed once more, all together: some change."""
        self._checked("end an utterance", _library.ps_end_utt(self._decoder))

    def words(self) -> str:
        """What was heard of the utterance so far; it may still change."""
        found: bytes | None = _library.ps_get_hyp(self._decoder, None)
        return found.decode() if found else ""

    def sure(self) -> list[float]:
        """How sure it is of each word of the utterance that has ended, 0 to 1."""
        found, segment = [], _library.ps_seg_iter(self._decoder)
        while segment:
            if _library.ps_seg_word(segment)[:1] not in {b"<", b"["}:
                likelihood = _library.ps_seg_prob(segment, None, None, None)
                found.append(min(1.0, _library.logmath_exp(self._logarithms, likelihood)))
            segment = _library.ps_seg_next(segment)  # which frees the last one
        return found

    @staticmethod
    def _checked(what: str, result: int) -> None:
        if result < 0:
            raise RuntimeError(f"pocketsphinx could not {what}")


def _load() -> Any:
    library = ctypes.CDLL(_pocketsphinx.__file__)
    here, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("ps_config_parse_json", here, (here, text)),
        ("ps_config_free", number, (here,)),
        ("ps_init", here, (here,)),
        ("ps_free", number, (here,)),
        ("ps_get_logmath", here, (here,)),
        ("ps_start_utt", number, (here,)),
        ("ps_process_raw", number, (here, text, ctypes.c_size_t, number, number)),
        ("ps_end_utt", number, (here,)),
        ("ps_get_hyp", text, (here, here)),
        ("ps_seg_iter", here, (here,)),
        ("ps_seg_next", here, (here,)),
        ("ps_seg_word", text, (here,)),
        ("ps_seg_prob", ctypes.c_int32, (here, here, here, here)),
        ("logmath_exp", ctypes.c_double, (here, number)),
    ):
        function = getattr(library, name, None)
        if function is None:
            raise ConfigurationError(
                f"STT engine 'embedded': this build of pocketsphinx hides {name}; choose another"
            )
        function.restype, function.argtypes = result, arguments
    return library


_library = _load()
