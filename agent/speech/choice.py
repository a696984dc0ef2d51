"""Decides which engine `STT_ENGINE=auto` and `TTS_ENGINE=auto` stand for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from llm_router.errors import ConfigurationError

AUTO = "auto"
EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Choice:
    """The engine to load, and for an embedded one what the neural one lacks; else empty."""

    engine: str
    missing: str = ""

    def __str__(self) -> str:
        return f"{self.engine} ({self.missing})" if self.missing else self.engine

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Puts what the neural engine lacks before a ConfigurationError of the embedded one.

        A wrong TTS_VOICE is more often meant for the neural voice.
        """
        try:
            yield
        except ConfigurationError as error:
            if not self.missing:
                raise
            raise ConfigurationError(f"{self.missing}. And {error}") from error


def choose(
    asked: str,
    neural: str,
    speech_model: Callable[[str], object],
    *,
    wants_neural: bool,
    is_named: bool = False,
) -> Choice:
    """Returns the engine `asked`; for `auto` the neural one if it can work, else the embedded one.

    `speech_model` is called with the neural engine's name, and raises ConfigurationError if its
    packages or its model are missing, or if it does not know the language. Where its model
    `is_named`, only that engine is meant, whether it can work or not.
    """
    if asked != AUTO:
        return Choice(asked)
    if not wants_neural:
        return Choice(EMBEDDED)
    if is_named:
        return Choice(neural)
    try:
        speech_model(neural)
    except ConfigurationError as reason:
        return Choice(EMBEDDED, str(reason))
    return Choice(neural)
