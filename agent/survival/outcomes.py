"""Words that stand for the outcome of a tool's run which no agent has seen to its end."""

UNKNOWN = (
    "The outcome is unknown: the connection broke while this ran. Do not repeat the call. Say that"
    " you cannot confirm it."
)
NOTHING_DONE = "; nothing was done"
"""End of the stored outcome of a tool that has certainly changed nothing: it may be repeated."""
CUT = (
    "The connection broke before the person had taken the call, and the caller is back with you"
    f"{NOTHING_DONE}"
)
"""Outcome of a transfer whose agent died: the person was hung up on, so that it may be repeated."""
