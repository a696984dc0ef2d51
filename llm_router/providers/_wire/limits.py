"""The most that one reply of a model server may hold, whatever it is made of.

Far above what servers send, and low enough that a server which is broken, or hostile, can neither
fill the memory nor stop the event loop. How much of a reply is given out is another matter: that is
`ReplyLimits` in `options.py`.
"""

STREAM = 1 << 24
"""Bytes of a whole stream: fifty thousand events of three hundred."""
EVENT = 1 << 21
"""Bytes of one line or event. Most have hundreds; one may hold a whole tool call."""
STRUCTURE = 1 << 18
"""Quotes, backslashes, brackets and commas of one event: the time that parsing takes."""
ANSWER = 1 << 21
"""Bytes of an answer that is not streamed."""
TEXT = 1 << 15
"""Characters of text, or of reasoning, in one event or answer."""

CALL = 1 << 20
"""Bytes of one tool call: a model that edits files writes them whole."""
CALLS = 1 << 21
"""Bytes of all tool calls of a reply."""
CALL_COUNT = 128
CALL_NAME = 256
"""Characters of a tool's name."""
WRITTEN_CALL = 1 << 13
"""Characters of a tool call that a model writes into its words, and that is read in many ways."""

JSON_BODY = 1 << 21
"""Bytes of the answer to a question about the server, such as for its models."""
ERROR_BODY = 1 << 16
"""Bytes of the answer that explains an error."""
