"""Everything the router raises.

    RouterError
    ├── ConfigurationError          what was given cannot work; nothing was started
    │   └── UnknownPluginError      no such provider, policy, route or engine; lists the known
    ├── UpstreamError               what a provider did wrong; `failures.classify` says what of it
    │   ├── UnreachableError        no byte of an answer came
    │   │   └── AddressRefusedError the address may not be called by who asks for it
    │   ├── StatusError             an HTTP status other than 2xx, or an error object in the answer
    │   └── BrokenStreamError       the answer began and then made no sense or stopped
    ├── SealError                   a sealed value cannot be opened: which, and what to do
    ├── ReplyFailedError            every endpoint failed, or none was eligible
    ├── StoreError                  the database could not be read or written
    ├── ApiError                    the management API was not reached, or did not do its part
    ├── NotFoundError               there is no such thing, or not for whoever asks
    ├── ForbiddenError              whoever asks sees it and may not do this to it
    ├── BusyError                   too much of this is under way; says when to try again
    └── ConflictError               it cannot be done as things stand now
        ├── TakenError              the id or the name is in use
        └── StaleError              somebody else has changed it in between

The message is the docstring: what happened, at which connection, what to do next. Never a key,
never a caller's words.
"""

from collections.abc import Sequence


class RouterError(Exception):
    """Base of everything the router raises on purpose."""


class ConfigurationError(RouterError):
    """What was given cannot work; nothing was started."""


class UnknownPluginError(ConfigurationError):
    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(known) or 'none'}")
        self.kind, self.name, self.known = kind, name, tuple(known)


class UpstreamError(RouterError):
    """What one provider did wrong."""


class UnreachableError(UpstreamError):
    """Refused, unresolved, TLS failed, or closed before a byte of the answer."""


class AddressRefusedError(UnreachableError):
    """The address may not be called by who asks for it; nothing was sent there."""


class StatusError(UpstreamError):
    """An HTTP status other than 2xx, or an error object where an answer was due.

    `status` is 0 when the error came inside a 200. `code` and `kind` are the server's own words
    for it (OpenAI's `error.code`, `error.type`); `detail` is its message, kept for classifying and
    never shown to a caller. `retry_after` is in seconds.
    """

    def __init__(
        self,
        status: int,
        *,
        code: str = "",
        kind: str = "",
        detail: str = "",
        retry_after: float | None = None,
    ) -> None:
        what = f"HTTP {status}" if status else "an error inside a 200"
        super().__init__(f"{what}{f' ({code or kind})' if code or kind else ''}")
        self.status, self.code, self.kind, self.detail = status, code, kind, detail
        self.retry_after = retry_after


class BrokenStreamError(UpstreamError):
    """The answer began, then broke off, turned into garbage or carried half a tool call."""


class SealError(RouterError):
    """A sealed value cannot be opened here. Names its place, never the value or a key."""


class ReplyFailedError(RouterError):
    """No endpoint gave an answer; `reasons` says for each connection why."""

    def __init__(self, reasons: Sequence[tuple[str, str]]) -> None:
        said = (
            "; ".join(f"{name}: {reason}" for name, reason in reasons) or "no connection is set up"
        )
        super().__init__(f"no connection could answer ({said})")
        self.reasons = tuple(reasons)


class StoreError(RouterError):
    """The database could not be read or written; says which, why, and what to do."""


class ApiError(RouterError):
    """The management API was not reached, does not know the key, or did not do its part."""


class NotFoundError(RouterError):
    """There is no such thing, or it is not for this actor to know of; the two look the same."""


class ForbiddenError(RouterError):
    """The actor sees it, and its role does not allow this."""


class BusyError(RouterError):
    """Too much of this is under way already; `retry_after` (s) says when to try again."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConflictError(RouterError):
    """It cannot be done as things stand now."""


class TakenError(ConflictError):
    """The id or the name is in use; `field` says which of them."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class StaleError(ConflictError):
    """What was to be changed has been changed since; `current` is the version it has now."""

    def __init__(self, message: str, current: int) -> None:
        super().__init__(message)
        self.current = current
