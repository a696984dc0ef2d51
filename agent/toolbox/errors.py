"""Defines what a tool raises instead of a result. Needs nothing of LiveKit."""


class ToolError(Exception):
    """Raised when a tool has failed. A model gets `message`: it holds no address and no secret."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class NoReplyError(Exception):
    """Raised by a tool that has said itself what there is to say: the model adds nothing."""
