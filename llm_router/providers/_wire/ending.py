"""Judges how a reply ended, by all its signs together.

A server may give a finish reason in every chunk or in none, spell it in its own way, announce the
end of an answer that broke off, and err after one that is whole. So no sign decides alone.
"""

import functools
import logging
import re

from llm_router.errors import BrokenStreamError, StatusError, UpstreamError

_logger = logging.getLogger("llm_router")

FAILED, FILTERED, LENGTH = "failed", "content_filter", "length"
_KINDS = {
    # The order matters: a context that is too long is no ordinary "length", and a tool call that
    # was not to be is no tool call. Whatever matches nothing is a vendor's word for "stop".
    r"(null|none|nil|undefined|(finishreason)?unspecified|not(finished|stopped)|inprogress|"
    r"running|generating|continue|pending)?": "",
    r".*max\w*token.*|(token|output)?limit": LENGTH,
    r".*(error|fail|abort|cancel|exception|crash|network|time(out|limit)|deadline|insufficient|"
    r"quota|balance|resource|exhausted|overload|unavailable|capacity|busy|ratelimit|throttl|"
    r"memory|context|exceeded|disconnect|connection|reset|interrupt|preempt|evict|shutdown|kill|"
    r"malformed|unexpected|invalid|toomany|missing|repetition|unknown|incomplete|partial|pause|"
    r"compaction|unloaded|died|dead|dropped|lost|denied|forbidden|reject|expired|broken|corrupt|"
    r"degenerat|userstop|internal|nooutput).*|(image)?other|language|noimage|oom|nan": FAILED,
    r".*(filter|safety|unsafe|sensitive|refus|moderat|prohibit|block|recitation|spii|guardrail|"
    r"armor|policy|violat|risk|inspection|toxic|harm|"
    r"flagged|jailbreak|hate|abuse|copyright|censor|harass|violen|sexual).*|pii": FILTERED,
    r".*(length|maxlen|truncat).*": LENGTH,
    r".*(tool|functioncall).*": "tool_calls",
}
"""The kinds of finish reasons, by what they match in small letters without separators."""
_FAILURES = frozenset({FAILED, FILTERED})
_SEPARATORS = re.compile(r"[\W_]+")
_LONGEST = 100  # characters of a reason; what comes after them is not read
_LABEL = re.compile(r"[\w.:-]{1,60}")

_END_TIMEOUT = 0.05  # s after the announced end, while only the end of the HTTP body is missing
_USAGE_TIMEOUT = 0.15  # s after the finish reason, while the usage is missing; a longer silence
# would pass for a stall where the words end no clause
_WORDS_TIMEOUT = 3.0  # s after a reason that may be in every chunk, while words may be missing


@functools.lru_cache(256)
def kind_of(reason: str) -> str:
    """Returns OpenAI's name for a vendor's finish reason.

    The name is FAILED where the server broke off, and empty where the word means that the reply
    has not ended.
    """
    word = _SEPARATORS.sub("", reason).lower()
    kinds = (kind for pattern, kind in _KINDS.items() if re.fullmatch(pattern, word))
    return next(kinds, "stop")


def is_failure(reason: str) -> bool:
    """Returns whether a finish reason means a failure or a refusal."""
    return kind_of(reason[:_LONGEST]) in _FAILURES


def finish_reason(reason: str) -> str:
    """Returns OpenAI's name for the reason of a reply that has ended; empty if it is none.

    Raises StatusError for a reason that means a failure or a refusal.
    """
    kind = kind_of(reason[:_LONGEST])
    if kind in _FAILURES:
        label = reason if _LABEL.fullmatch(reason) else kind
        raise StatusError(0, code=label if kind == FAILED else FILTERED, kind=label)
    return kind


class Ending:
    """The signs of the end of one reply. Its parser notes them as they come."""

    def __init__(self) -> None:
        self.is_done = False
        """Whether the server has announced the end, or nothing more is to be read."""
        self.has_reason = False
        """Whether the latest words came with a finish reason, or before one."""
        self._reason = ""
        self._is_firm = False  # it came after the words, not with them
        self._is_doubtful = False  # some words came after a reason
        self._with_words = 0  # parts that came with a reason

    def note(self, reason: object, *, has_words: bool) -> None:
        """Notes the reason of a chunk, if any; `has_words`: the chunk also has words or calls.

        Needed for chunks with a reason, and for all after the first of these.
        """
        if isinstance(reason, dict):
            reason = reason.get("type")
        raw = reason if isinstance(reason, str) else "stop" if reason else ""
        kind = kind_of(raw[:_LONGEST])
        if has_words and self.has_reason:
            self._is_doubtful = True
            self.has_reason = False
        if not kind or (kind == "stop" and self.has_reason and self._is_firm):
            return
        self.has_reason = True
        self._reason, self._is_firm = raw[:_LONGEST], not has_words
        self._with_words += has_words

    def patience(self, parts: int) -> float | None:
        """Returns the seconds to wait for more of the reply; None: it has not ended.

        `parts`: chunks so far that had words or calls. If each of them came with a reason, or some
        came after one, the reason is no sign that no more will come.
        """
        if self.is_done:
            return _END_TIMEOUT
        if not self.has_reason:
            return None
        if parts and self._is_firm and kind_of(self._reason) in _FAILURES:
            return _END_TIMEOUT
        is_usual = self._is_doubtful or self._with_words == parts
        return _WORDS_TIMEOUT if is_usual else _USAGE_TIMEOUT

    def forgive(self, error: UpstreamError, *, parts: int, ends_sentence: bool) -> None:
        """Notes an error that came after a whole answer, which it does not harm; else raises it.

        `ends_sentence`: the words so far do, which decides where reasons are in every chunk.
        """
        is_whole = self.is_done or (
            self.has_reason
            and kind_of(self._reason) not in _FAILURES
            and (ends_sentence or not self._is_doubtful)
        )
        if not (parts and is_whole):
            raise error
        _logger.debug("after a whole answer: %s", error)
        self.is_done = True

    def verdict(self, parts: int) -> str:
        """Returns the finish reason of the whole reply, under OpenAI's name.

        Raises StatusError where the reason means a failure or a refusal, and BrokenStreamError
        where neither a reason nor an announced end says that the answer is whole.
        """
        if self.has_reason and (reason := finish_reason(self._reason)):
            return reason
        if self.is_done and parts:
            return "stop"
        raise BrokenStreamError("the answer ended without a finish reason")
