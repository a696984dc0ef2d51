"""Writes a text out as people read it aloud, for engines that would read it otherwise.

espeak-ng, which the embedded voice is and which phonemizes for Piper and Kokoro, reads numbers in
each language by itself. Here belongs only what it reads wrong: "$12.50", "9:00", "3-5 days",
"Dr. Smith". Markdown and emoji are LiveKit's to remove (`tts_text_transforms`). Nothing in this
package knows an engine; `words.toml` holds all that depends on the language.
"""

from agent.speech.spoken_text.abbreviations import sentence_continues
from agent.speech.spoken_text.reading import spoken_text

__all__ = ["sentence_continues", "spoken_text"]
