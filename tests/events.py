"""The event of a successful reply, for tests of observers to copy with `dataclasses.replace`."""

from llm_router.routing.events import ReplyEvent

REPLY = ReplyEvent(
    session_id="s",
    connection="a",
    model="m",
    first_word=0.3,
    took_over_from=(),
    attempts=1,
    resumes=0,
    last_resort=False,
    cancelled=False,
    characters=12,
    wasted=0,
    failures=(),
)
