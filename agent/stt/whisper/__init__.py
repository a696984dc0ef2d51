"""Transcribes with a whisper model on this machine, which all calls of the worker share.

`utterance` decides what to decode and which words are settled, `transcriber` asks the speech
process and reports, `engine` is the STT that LiveKit uses.
"""

from agent.stt.whisper.engine import WhisperSTT, create, missing_languages, speech_model

__all__ = ["WhisperSTT", "create", "missing_languages", "speech_model"]
