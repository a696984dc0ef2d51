"""Every knob of the engine, in one place. The defaults suit a telephone call."""

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class PatienceOptions:
    """Seconds. `cold_*` hold until an endpoint has been measured."""

    hedge_quantile: float = 0.95
    cold_hedge: float = 0.25
    cold_silent: float = 0.8
    shortest: float = 0.2
    longest: float = 2.0
    slack: float = 0.03
    stretch: float = 1.3
    """`silent_after` is the median times this, plus the slack, within shortest and longest.

    The median, because the high quantiles of a server that hangs one time in ten are the hang."""
    spread: float = 3.0
    """A p90 below the median times this is how the server is, and is waited for; above, a fault."""
    samples: float = 3.0
    """From this many samples on, what was measured counts."""


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """Seconds, and failures in a row."""

    failures: int = 3
    rest: float = 2.0
    """The first opening; each one that follows without a success between doubles it."""
    longest_rest: float = 60.0
    long_rest: float = 900.0
    """For an account out of credit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterOptions:
    """Times in seconds."""

    patience: PatienceOptions = field(default_factory=PatienceOptions)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    hedge_budget: float = 0.05
    """Hedges per ordinary request, over time."""
    queue_poll: float = 0.0
    """Between two looks at the queues of model servers of one's own, which serve nobody else; 0:
    none. Their metrics are read beside the calls, never on a word's way."""
    target: float = 0.8
    """Time to first clause that the `latency` policy wants."""
    first_word_deadline: float = 4.0
    """Of a spoken turn: by then something is said. Readers of text wait `text_deadline`."""
    text_deadline: float = 30.0
    first_clause: float = 2.0
    """From the first word to the end of the first clause; a voice cannot start on less."""
    clause_stall: float = 0.25
    """Silence between chunks until that clause is whole, while the caller hears nothing at all."""
    stall: float = 10.0
    """Silence between chunks that a reader of text is asked to bear."""
    spoken_stall: float = 0.4
    """The same for a voice that has no words to say; while it speaks, silence harms nobody."""
    longest_stall: float = 0.7
    """Servers that send their words in bursts are given their usual pause, and no more than this,
    where it is longer than `clause_stall` and `spoken_stall`."""
    total: float = 120.0
    max_attempts: int = 4
    """Endpoints asked for one race."""
    max_resumes: int = 2
    move_on_refused_content: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOptions:
    """How connections are checked while nobody asks, and what follows. Times in seconds."""

    interval: float = 60.0
    look_every: float = 5.0
    """By then a connection that was added or edited is checked for the first time."""
    jitter: float = 0.1
    """Each wait is up to this share longer or shorter, so that servers are not asked in step."""
    doubt: float = 0.25
    """While what comes contradicts the status, the wait is this share of the interval."""
    patience: float = 10.0
    concurrency: int = 8
    fall: int = 3
    """Checks in a row that must fail before a connection counts as broken."""
    rise: int = 2
    """And that must go well before a broken one counts as well again."""
    deactivate_after: timedelta | None = timedelta(days=1)
    """Of failures without a break; None: it stays active, however long it is broken."""
    ask_for_a_word: bool = False
    """Ask for one token of an answer instead of the list of models, which costs nothing."""
    kept_for: timedelta = timedelta(days=7)
    most_kept: int = 10_000
    """Checks of each connection."""
