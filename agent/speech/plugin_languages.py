"""Tells LiveKit's plugins to recognise several languages; read in their sources of 1.8.9.

A plugin without a row here gets the first language alone. So do plugins that recognise others but
do not say which one was spoken, such as speechmatics.
"""

from collections.abc import Callable, Mapping
from typing import Any

from agent.speech.stt import STTOptions

_ROWS: Mapping[str, Callable[[STTOptions], Mapping[str, Any]]] = {
    "assemblyai": lambda options: {
        "language_codes": [*options.languages],
        "language_detection": True,
    },
    "azure": lambda options: {"language": [*options.languages]},
    "deepgram": lambda _: {"language": "multi"},  # of nova-2 and nova-3
    "elevenlabs": lambda options: {
        "language_code": options.language,
        "secondary_languages": [*options.others],
        "include_language_detection": True,
    },
    "gladia": lambda options: {"languages": [*options.languages], "code_switching": True},
    "google": lambda options: {"languages": [*options.languages], "detect_language": True},
    "openai": lambda _: {"detect_language": True},
}


def several_languages(options: STTOptions) -> Mapping[str, Any]:
    """Returns the arguments of the plugin's constructor for the languages of a call.

    Empty for a call of one language, whose argument is `language`.
    """
    row = _ROWS.get(options.plugin)
    return row(options) if row and options.others else {}
