"""Draws the board of the router: endpoints, first words and calls, as btop draws processes."""

from collections.abc import Sequence

from rich.cells import set_cell_size
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Sparkline, Static

from llm_router.printable import printable
from llm_router.tui.board_data import Board, CallRow, EndpointRow

_NAME, _STATE, _NUMBER, _TIME, _BAR = 12, 9, 4, 5, 5
_SLOW = 2.0
"""Seconds to a first word at which a bar is full."""
_GOOD, _FAIR = 0.5, 1.0
"""Seconds to a first word up to which it is well, and fair."""
_EIGHTHS = " ▏▎▍▌▋▊▉█"


class BoardView(Vertical):
    """The board; `show` draws it."""

    def compose(self) -> ComposeResult:
        yield Static(id="totals")
        with VerticalScroll(id="endpoints") as endpoints:
            endpoints.border_title = "endpoints · this hour"
            yield Static(id="endpoint-lines")
        with Vertical(id="first-words") as first_words:
            first_words.border_title = "first word"
            yield Sparkline()
        with VerticalScroll(id="calls") as calls:
            calls.border_title = "calls"
            yield Static(id="call-lines")

    def show(self, board: Board) -> None:
        self.query_one("#totals", Static).update(totals(board))
        self.query_one("#endpoint-lines", Static).update(endpoint_lines(board.endpoints))
        self.query_one("#call-lines", Static).update(call_lines(board))
        self.query_one(Sparkline).data = list(board.first_words)
        latest = next((seconds for seconds in reversed(board.first_words) if seconds), None)
        self.query_one("#first-words").border_subtitle = _seconds(latest).strip()


def totals(board: Board) -> Content:
    """Returns the lines above the board: the hour in figures, or the problem."""
    if board.problem:
        return Content.styled(printable(board.problem), "$error")
    calls = "?" if board.calls is None else f"{len(board.calls) + board.more_calls:,}"
    return Content.assemble(
        (f"{calls} calls", "bold $foreground"),
        (f"  {board.replies:,} replies", "$foreground"),
        (f"  {board.failovers:,} taken over", "$foreground"),
        (f"  {board.resumes:,} resumed", "$foreground"),
        (f"  {board.silence_avoided:,.0f} s of silence avoided", "$success"),
    )


def endpoint_lines(rows: Sequence[EndpointRow]) -> Content:
    """Returns a line an endpoint, the active ones first."""
    if not rows:
        return Content.styled("none; `llm-router connections discover` finds some", "$system-line")
    head = (
        f"  {'name':<{_NAME}} {'state':<{_STATE}} {'busy':>{_NUMBER}} {'p50':>{_TIME}}"
        f" {'p95':>{_TIME}} {'':<{_BAR}} {'replies':>7} {'failed':>6}"
    )
    lines = [Content.styled(head, "$time")]
    lines += [_endpoint_line(row) for row in sorted(rows, key=lambda row: not row.is_active)]
    return Content("\n").join(lines)


def call_lines(board: Board) -> Content:
    """Returns a line a call, or why there is none."""
    if board.calls is None:
        return Content.styled("calls are for admins' keys", "$system-line")
    if not board.calls:
        return Content.styled("no call", "$system-line")
    lines = [_call_line(call) for call in board.calls]
    if board.more_calls:
        lines.append(Content.styled(f"and {board.more_calls:,} more", "$system-line"))
    return Content("\n").join(lines)


def _endpoint_line(row: EndpointRow) -> Content:
    state, style = _state(row)
    busy = "-" if row.in_flight is None else f"{row.in_flight:,}"
    name = set_cell_size(printable(row.name), _NAME)
    return Content.assemble(
        ("● " if row.is_active else "○ ", style),
        (f"{name} ", "$foreground" if row.is_active else "$system-line"),
        (f"{state:<{_STATE}}", style),
        (f" {busy:>{_NUMBER}}", "$foreground"),
        (f" {_seconds(row.p50):>{_TIME}} {_seconds(row.p95):>{_TIME}} ", _time_style(row.p95)),
        (_bar(row.p95), _time_style(row.p95)),
        (f" {row.replies:>7,}", "$foreground"),
        (f" {row.failed:>6,}", "$error" if row.failed else "$system-line"),
    )


def _call_line(call: CallRow) -> Content:
    minutes, seconds = divmod(call.seconds, 60)
    assistant = set_cell_size(printable(call.assistant or "-"), _NAME)
    style = "$warning" if call.state == "handed_over" else "$success"
    return Content.assemble(
        (f"{minutes:>4}:{seconds:02} ", "$time"),
        (f"{call.kind:<6}", style),
        (f"{assistant} ", "$foreground"),
        (f"{call.state.replace('_', ' '):<12}", style),
        (f"{call.items:>4,} items  {printable(call.id[:8])}", "$system-line"),
    )


def _state(row: EndpointRow) -> tuple[str, str]:
    """Returns the state of an endpoint in a word, and its colour; a breaker says most."""
    if not row.is_active:
        return "off", "$system-line"
    if row.breaker == "open":
        return "open", "$error"
    if row.breaker == "half-open":
        return "half-open", "$warning"
    if row.status == "error":
        return "error", "$error"
    if row.status == "resting":
        return "resting", "$warning"
    if row.breaker or row.status == "active":
        return row.breaker or row.status, "$success"
    return printable(row.status)[:_STATE], "$system-line"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}s"


def _time_style(seconds: float | None) -> str:
    if seconds is None:
        return "$system-line"
    if seconds <= _GOOD:
        return "$success"
    return "$warning" if seconds <= _FAIR else "$error"


def _bar(seconds: float | None) -> str:
    """Returns a bar of `_BAR` cells, full at `_SLOW`."""
    if seconds is None:
        return " " * _BAR
    whole, rest = divmod(round(min(seconds / _SLOW, 1.0) * _BAR * 8), 8)
    return f"{'█' * whole}{_EIGHTHS[rest] if rest else ''}".ljust(_BAR)
