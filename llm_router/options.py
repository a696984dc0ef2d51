"""The options of the engine, in one place. The defaults suit a telephone call."""

from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class PatienceOptions:
    """Waits for a first word (s). `cold_*` hold until an endpoint has been measured."""

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
    """A p90 below the median times this is normal variation, and is waited for; above, a fault."""
    samples: float = 3.0
    """Number of samples from which on the measurements are used."""
    preferred: float = 15.0
    """Wait for a connection that the request prefers, whatever is usual for it: no other is asked
    beside it before."""


@dataclass(frozen=True, slots=True)
class BreakerOptions:
    """Failures in a row that open a circuit breaker, and the lengths of its openings (s)."""

    failures: int = 3
    rest: float = 2.0
    """Length of the first opening; each further one without a success in between doubles it."""
    longest_rest: float = 60.0
    long_rest: float = 900.0
    """For an account out of credit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """Numbers of connections that may be stored. Admins are bound by `in_all` alone.

    So one editor fills neither the lists of the others nor the memory of a call's process.
    """

    per_owner: int = 200
    in_all: int = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """How much may be stored of chats. A reply that has begun is stored whole in any case."""

    message: int = 100_000
    """Characters of a message."""
    messages: int = 1_000
    """Messages of a chat, in all its branches."""
    siblings: int = 50
    """Messages that follow the same one: each is shown with the numbers of all of them."""
    characters: int = 2_000_000
    """Characters of all messages of a chat."""
    chats: int = 1_000
    """Chats of an owner."""
    owner_characters: int = 20_000_000
    """Characters of all chats of an owner: what a search may have to read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyLimits:
    """The most of one reply that is given out, or taken from a server.

    A reply that reaches the limit of its words ends at a sentence, with the finish reason `length`.
    """

    speech: float = 240.0
    """Seconds of talk, of a reply that a voice says."""
    characters: int = 400_000
    """Of a reply that is read as text."""
    tokens: int = 2048
    """Limit that servers are given for a spoken reply, where neither the request nor the connection
    has one; 0: none. Some count a model's reasoning towards it."""
    hidden: int = 2_000_000
    """Characters of reasoning, blanks and tool arguments, beyond which an attempt has failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterOptions:
    """Options of one router. Times in seconds."""

    patience: PatienceOptions = field(default_factory=PatienceOptions)
    breaker: BreakerOptions = field(default_factory=BreakerOptions)
    limits: ReplyLimits = field(default_factory=ReplyLimits)
    hedge_budget: float = 0.05
    """Hedges per ordinary request, over time."""
    queue_poll: float = 0.0
    """Interval at which the queues of your own model servers are read; 0: never. Their metrics are
    read beside the calls and never delay a word."""
    target: float = 0.8
    """Time to first clause that the `latency` policy aims at."""
    first_word_deadline: float = 4.0
    """Time within which a spoken turn gets its first word, or an apology. Readers of text wait for
    `text_deadline`."""
    text_deadline: float = 30.0
    first_clause: float = 2.0
    """From the first word to the end of the first clause, without which a voice cannot start."""
    clause_stall: float = 0.25
    """Longest pause between chunks until that clause is whole, while the caller hears silence."""
    stall: float = 10.0
    """Longest pause between chunks for a reader of text."""
    spoken_stall: float = 0.4
    """The same for a voice that has run out of words; while it speaks, a pause does no harm."""
    longest_stall: float = 0.7
    """Upper bound for servers that send words in bursts: they are given their usual pause where it
    is longer than `clause_stall` and `spoken_stall`."""
    voice_speed: float = 1.0
    """Speed of the voice that speaks the words; 2: in half the usual time."""
    total: float = 120.0
    max_attempts: int = 6
    """Attempts of one reply, of one server or of several; each resume allows one more."""
    max_resumes: int = 5
    move_on_refused_content: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthOptions:
    """Background checks of connections, and their consequences. Times in seconds."""

    interval: float = 60.0
    poll_interval: float = 5.0
    """Interval at which due checks are looked up; within it a connection that was added or edited
    is checked for the first time."""
    jitter: float = 0.1
    """Each wait is up to this share longer or shorter, so that servers are not checked in step."""
    doubt: float = 0.25
    """Share of the interval to wait while the latest check contradicts the status."""
    patience: float = 10.0
    """Time within which a server must answer a check."""
    concurrency: int = 8
    """Checks under way at the same time."""
    fall: int = 3
    """Checks in a row that must fail before a connection counts as broken."""
    rise: int = 2
    """Checks in a row that must succeed before a broken connection counts as healthy again."""
    deactivate_after: timedelta | None = timedelta(days=1)
    """Time of uninterrupted failures after which it is deactivated; None: it stays active."""
    generate_token: bool = False
    """Check by generating one token. The default, listing the models, costs nothing."""
    retention: timedelta = timedelta(days=7)
    """Time after which stored checks are deleted."""
    max_stored: int = 10_000
    """Stored checks of each connection, beyond which the oldest are deleted."""
