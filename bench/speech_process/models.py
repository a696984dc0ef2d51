"""Names the models that this bench uses."""

from agent.speech.models import default_folder, find_voice, find_whisper


def model_names() -> tuple[str, str]:
    """Names the recogniser and the voice that set-up fetches, as the speech process takes them.

    Raises ConfigurationError if they are not set up.
    """
    folder = default_folder()
    return f"whisper:{find_whisper('', 'en', folder)}", f"piper:{find_voice('', 'en', folder)}"
