"""Separates the words of a reply from the machine text that models write into them.

Reasoning, tool calls, channels and control tokens arrive as text wherever a server does not know
its model well. `markers.py` lists their marks, `written_calls.py` reads the calls.
"""

import re

from llm_router.errors import BrokenStreamError
from llm_router.providers._wire import limits
from llm_router.providers._wire.marker_search import (
    HEAD_SIZE,
    PAGE,
    VOICE,
    Heads,
    begins_call,
    cut_end,
    heads_of,
    pattern,
    starts_of,
    tags_of,
)
from llm_router.providers._wire.markers import (
    AT_START,
    BEGINS_OTHER_TOKEN,
    CUT_TOKEN,
    LOST_BEGINNING,
    OTHER_TOKENS,
    Kind,
    Marker,
)
from llm_router.providers._wire.text_regions import Output, Region
from llm_router.providers._wire.tools import OfferedTools, offered_tools
from llm_router.providers._wire.written_calls import (
    WrittenCall,
    are_arguments,
    is_answer,
    is_written_call,
    written_calls,
)
from llm_router.types import ChatRequest

_TRIGGER = re.compile("[<\\[\\]{`◁✿=【\ue200]")
"""The first characters of marks. Text without them is words, which one search finds."""
_SPACES = frozenset({"<0x09>", "<0x0a>", "<0x0d>", "<0x20>"})
"""Tokens of bytes that part two words."""
_BLANK = re.compile(r"\s*")
_BEGINS_CALL = re.compile(r"[\"'](?:arguments|parameters|args)[\"']\s*:")
_JSON = ("{", "[{", "```")
_OTHER_ROLES = frozenset(
    {"user", "human", "system", "developer", "tool", "function", "observation", "environment"}
)
_THOUGHTS = frozenset({"analysis", "commentary", "thought", "thinking", "think"})
_WORDS = re.compile(r"[a-z]+")
_HEADER_WORDS = re.compile(r"(?:(?:assistant|model|final|response|<\|channel\|>)\s*)+")
_SEPARATORS = " \t\r\n;,"


class MachineTextFilter:
    """Passes on words and reasoning as they arrive; keeps the tool calls among them.

    Withholds only what may begin a mark, however the text is cut. The reasoning of a model whose
    template writes the opening tag ends in a tag without a beginning: `begins_in_thought` says so
    beforehand.
    """

    def __init__(
        self,
        tools: OfferedTools,
        *,
        speech: bool = True,
        reads_json: bool = True,
        begins_in_thought: bool = False,
    ) -> None:
        self.calls: list[WrittenCall] = []
        self.has_unreadable_call = False
        self._has_unknown_call = False
        self._is_cut_thought = False
        self.lacks_opening = False
        """Whether only the end of the reasoning was marked."""
        self.is_undecided = begins_in_thought
        """Whether `begins_in_thought` may have been wrong: no end of reasoning has come."""
        self._tools = tools
        self._speech = speech
        self._tables = (VOICE, tags_of(tools.names)) if speech else (PAGE,)
        parameters = tools.all_parameters if speech else ()
        reads_calls = reads_json and (speech or tools)
        self._heads = heads_of(tools.names, parameters) if reads_calls else Heads()
        self._starts = (*AT_START, *(starts_of(tools.names) if speech else ()))
        self._rest = ""
        self._given = False
        """Whether any word was given out."""
        self._is_plain = False
        """Whether a text without the first character of a mark is words."""
        self._after_call = False
        self._had_thought = False
        self._region = Region(LOST_BEGINNING) if begins_in_thought else None
        self._presumed: list[str] | None = [] if begins_in_thought else None

    def feed(self, text: str) -> tuple[str, str]:
        """Returns the words and the reasoning that `text` decides.

        Raises BrokenStreamError for more text than one piece of a reply may hold.
        """
        if len(text) > limits.TEXT:
            raise BrokenStreamError(f"a piece of text has more than {limits.TEXT:,} characters")
        if self._is_plain and not _TRIGGER.search(text):
            return text, ""
        return self._run(text, is_last=False)

    def close(self) -> tuple[str, str]:
        """Returns the words and the reasoning that were withheld; none follow."""
        words, thought = self._run("", is_last=True)
        presumed, self._presumed = self._presumed, None
        is_cut = False
        while region := self._region:
            self._region = None
            is_cut = region.marker.kind is Kind.THOUGHT
            words += self._finish(region, "")
        if presumed:  # it was none
            words, thought = "".join(presumed) + words, ""
        self._is_cut_thought = is_cut and presumed is None and not (self._given or words)
        return words, thought

    def written(self, finish_reason: str = "") -> list[WrittenCall]:
        """Returns the calls in the text, when it has been read to its end.

        Raises BrokenStreamError if one cannot be read, and if the reply is nothing but a thought
        without an end or calls of tools that were not offered: that is no silence that somebody
        meant. A thought that its limit has cut (`finish_reason`) is whole as far as it goes.
        """
        if self.has_unreadable_call:
            raise BrokenStreamError("the answer's words hold a tool call that is cut or unreadable")
        if self._has_unknown_call and not (self.calls or self._given):
            raise BrokenStreamError(
                "the answer is a call, in words, of a tool that was not offered"
            )
        if self._is_cut_thought and finish_reason != "length" and not self.calls:
            raise BrokenStreamError("the answer is a thought, in words, that has no end")
        return self.calls

    @property
    def call_parts(self) -> int:
        """The number of tool calls read, and of the pieces of one that may have begun: it changes
        whenever more of a call comes.
        """
        region = self._region
        begun = 1 + len(region.body) if region and region.marker.kind in _CALLS else 0
        return len(self.calls) + begun

    def expect_no_thought(self) -> None:
        """Takes the words for words: the server gives the reasoning beside them."""
        if self._presumed == []:
            self._presumed = self._region = None
            self.is_undecided = False

    def _run(self, text: str, *, is_last: bool) -> tuple[str, str]:
        text, self._rest = self._rest + text, ""
        out = Output()
        while text:
            if self._region is None:
                text = self._read_words(text, out, is_last=is_last)
            else:
                text = self._read_region(self._region, text, out, is_last=is_last)
        self._given = self._given or out.has_words
        self._is_plain = self._given and not (self._rest or self._region or self._after_call)
        if self._presumed is not None:
            self._presumed.append("".join(out.thought))
        return "".join(out.words), "".join(out.thought)

    # ── Between the marks: each step returns the text that is left ───────────────────────────────

    def _read_words(self, text: str, out: Output, *, is_last: bool) -> str:
        if self._after_call:
            text = text.lstrip(_SEPARATORS)
            self._after_call = not text
        if not (self._given or out.has_words):
            start = text.lstrip()
            for marker in self._starts if start else ():
                if start.startswith(marker.opening):
                    return self._open(marker, start, (0, len(marker.opening)), out)
                if not is_last and marker.opening.startswith(start):
                    return self._withhold(text, 0, out)
        for trigger in _TRIGGER.finditer(text):
            left = self._read_mark(text, trigger.start(), out, is_last=is_last)
            if left is not None:
                return left
        out.words.append(text)
        return ""

    def _read_mark(self, text: str, place: int, out: Output, *, is_last: bool) -> str | None:
        """Reads the mark that may stand at this place; returns None if none does."""
        tail = text[place : place + HEAD_SIZE]
        may_be_cut = not is_last and len(tail) < HEAD_SIZE
        if may_be_cut and any(table.is_cut(tail) for table in self._tables):
            return self._withhold(text, place, out)
        marker, end = self._marker_at(text, place)
        if marker and marker.kind is Kind.LAST_TOKEN:
            if not _BLANK.fullmatch(text, end):
                return None
            self._withhold(text, place, out)
            self._rest = "" if is_last else self._rest
            return ""
        if marker:
            out.words.append(text[:place])
            return self._open(marker, text, (place, end), out)
        if token := OTHER_TOKENS.match(text, place):
            out.words.append(text[:place] + (" " if token[0].lower() in _SPACES else ""))
            return text[token.end() :]
        begins = begins_call(tail, self._heads)
        if begins:
            out.words.append(text[:place])
            self._region = Region(_FENCED if tail[0] == "`" else _BARE)
            return text[place:]
        if may_be_cut and (begins is None or BEGINS_OTHER_TOKEN.fullmatch(tail)):
            return self._withhold(text, place, out)
        if is_last and CUT_TOKEN.fullmatch(tail):
            out.words.append(text[:place])
            return ""
        if tail[0] == "`" and not self._speech:
            return self._pass_code(text, place, out)
        return None

    def _withhold(self, text: str, place: int, out: Output) -> str:
        out.words.append(text[:place])
        self._rest = text[place:]
        return ""

    def _pass_code(self, text: str, place: int, out: Output) -> str:
        """Passes on the code of a text for reading, in which marks are no marks."""
        fence = "```" if text.startswith("```", place) else "`"
        out.words.append(text[: place + len(fence)])
        self._region = Region(_CODE_BLOCK if fence == "```" else _CODE)
        return text[place + len(fence) :]

    def _marker_at(self, text: str, place: int) -> tuple[Marker | None, int]:
        for table in self._tables:
            if found := table.marker_at(text, place):
                return found
        return None, place

    def _open(self, marker: Marker, text: str, span: tuple[int, int], out: Output) -> str:
        """Begins what the mark in this span begins."""
        place, end = span
        match marker.kind:
            case Kind.TOKEN:
                pass
            case Kind.THOUGHT_END:
                self._end_unopened(out)
            case Kind.TURN_END:
                if self._given or out.has_words or self.calls:
                    self._region = Region(_NEXT_TURN)
            case Kind.BARE_CALL:
                self._region = Region(marker)
                return text[place:]
            case _:
                self._region = Region(marker)
                if marker.kind is Kind.CALL:
                    self._region.add(text[place:end])
        return text[end:]

    def _end_unopened(self, out: Output) -> None:
        """Takes the words before a lone end of reasoning for reasoning, as far as that is left."""
        if self._given or self._region:
            self.lacks_opening = self.lacks_opening or not self._had_thought
            return
        out.thought += out.words
        out.words.clear()
        self.lacks_opening = True

    # ── Inside ───────────────────────────────────────────────────────────────────────────────────

    def _read_region(self, region: Region, text: str, out: Output, *, is_last: bool) -> str:
        kind = region.marker.kind
        if kind is Kind.BARE_CALL:
            return self._read_bare(region, text, out)
        ends = pattern(region.ends) if region.ends else None
        reach = 2 * HEAD_SIZE if kind is Kind.HEADER else len(text)
        end = ends.search(text, 0, reach) if ends else None
        held = 0 if end or is_last or not region.ends else cut_end(text, region.ends)
        body = text[: end.start() if end else len(text) - held]
        if kind is Kind.THOUGHT:
            out.thought.append(body)
        elif kind is Kind.CODE:
            out.words.append(body + (end.group() if end else ""))
        elif kind is Kind.HEADER and region.size + len(body) > HEAD_SIZE:
            room = HEAD_SIZE - region.size
            region.add(text[:room])
            self._region = None
            return self._finish(region, "") + text[room:]
        elif kind is not Kind.NOISE:
            region.add(body + (end.group() if end and kind is Kind.CALL else ""))
        if not end:
            self._rest = text[len(body) :]
            return ""
        self._region = None
        marker, _ = self._marker_at(end.group(), 0)
        rest = text[end.end() :]
        if marker and marker.kind in {Kind.CALL, Kind.HEADER}:  # as its row writes it
            rest = marker.opening + text[end.start() + len(marker.opening) :]
        return self._finish(region, end.group()) + rest

    def _read_bare(self, region: Region, text: str, out: Output) -> str:
        """Withholds a call in brackets until they close, then passes on what is none."""
        end = region.scan(text)
        region.add(text if end < 0 else text[:end])
        if end < 0:
            return ""
        self._region = None
        written = "".join(region.body)
        if is_written_call(written, self._tools):
            return self._add_calls(written) + text[end:]
        if self._speech and are_arguments(written, self._tools):
            self._has_unknown_call = True
        else:
            out.words.append(written)
        return text[end:]

    def _finish(self, region: Region, end: str) -> str:
        """Ends what a mark began; returns text of it that is to be read once more."""
        body = "".join(region.body)
        match region.marker.kind:
            case Kind.THOUGHT:
                self._had_thought = True
                if end and self._presumed is not None:
                    self.lacks_opening, self.is_undecided = True, False
                self._presumed = None
            case Kind.BARE_CALL if body.startswith(_JSON) and not _BEGINS_CALL.search(body):
                return body
            case Kind.CALL | Kind.BARE_CALL:
                return self._add_calls(body)
            case Kind.HEADER if end not in region.marker.body_ends:
                return self._follow(region.marker, body, is_whole=bool(end))
        return ""

    def _follow(self, marker: Marker, header: str, *, is_whole: bool) -> str:
        """Begins the text that a header describes; returns words that stand in the header."""
        names = {*_WORDS.findall(header.lower()[:HEAD_SIZE])}
        if "to=assistant" in header or (names & _OTHER_ROLES and "to=" not in header):
            self._region = Region(_NEXT_TURN)
        elif "to=" in header:
            self._region = Region(Marker(header, Kind.CALL, marker.body_ends))
            self._region.add(header + "\n")
        elif names & _THOUGHTS and (is_whole or not names & {"final"}):
            self._region = Region(Marker(header, Kind.THOUGHT, marker.body_ends))
        elif not is_whole:
            return _HEADER_WORDS.sub("", header.lstrip(), count=1)
        return ""

    def _add_calls(self, text: str) -> str:
        """Adds the calls that a text makes; returns the words of one that is an agent's answer."""
        self._after_call = True
        calls, tools = written_calls(text, self._tools), self._tools
        known = [call for call in calls if tools.resolve(call.name)]
        self.calls += known
        answer = "".join(call.arguments for call in calls if is_answer(call, tools))
        self._has_unknown_call = self._has_unknown_call or not (known or answer)
        if tools and not calls:
            self.has_unreadable_call = True
        return answer


def text_filter(request: ChatRequest, *, begins_in_thought: bool = False) -> MachineTextFilter:
    """Returns the filter for one reply to a request."""
    return MachineTextFilter(
        offered_tools(request),
        speech=request.speech,
        reads_json=request.response_format is None,
        begins_in_thought=begins_in_thought,
    )


_CALLS = (Kind.CALL, Kind.BARE_CALL)
_BARE = Marker("", Kind.BARE_CALL)
_FENCED = Marker("", Kind.BARE_CALL, ("```",))
_CODE = Marker("`", Kind.CODE, ("`", "\n"))
_CODE_BLOCK = Marker("```", Kind.CODE, ("```",))
_NEXT_TURN = Marker("", Kind.NOISE)
