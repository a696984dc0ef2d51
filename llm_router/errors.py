"""Every exception that the router raises on purpose.

    RouterError
    ├── ConfigurationError          a value that was given cannot work; nothing was started
    │   └── UnknownPluginError      no plugin has this name; lists the known names
    ├── UpstreamError               a provider's fault; `classification.classify` gives its class
    │   ├── UnreachableError        no byte of an answer came
    │   │   └── AddressRefusedError the address is not allowed for this user
    │   ├── StatusError             an HTTP status other than 2xx, or an error object in the answer
    │   │   └── WrongAddressError   base_url leads to no chat API
    │   └── BrokenStreamError       the answer began, then broke off or made no sense
    ├── SealError                   a sealed value cannot be opened with the present keys
    ├── ReplyFailedError            no connection could answer a request
    ├── StoreError                  the database could not be read or written
    │   └── ScoreboardError         the scoreboard could not be read or written
    ├── ApiError                    the management API was not reached, or refused
    ├── NotFoundError               it does not exist, or this user may not see it
    ├── ForbiddenError              this user may see it, but not do this to it
    ├── ExpiredError                an API key whose time has passed
    ├── BusyError                   too much of this is under way; says when to try again
    └── ConflictError               it cannot be done in the present state
        ├── TakenError              the id or the name is in use
        ├── QuotaError              there are as many as one owner, or all together, may have
        └── StaleError              it has been changed since it was read

Each docstring says when the error is raised and what to do; each message says what happened, at
which connection, and what to do next. Neither holds a key or a caller's words.
"""

from collections.abc import Sequence


class RouterError(Exception):
    """Base of the exceptions that the router raises on purpose. Catch it to catch them all."""


class ConfigurationError(RouterError):
    """Raised when a setting, a connection or an argument cannot work; nothing was started.

    The message names the value. Correct it and try again.
    """


class UnknownPluginError(ConfigurationError):
    """Raised when no provider, policy or engine has the given name.

    The message lists the `known` names. Choose one of them, or install the one that is missing.
    """

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(known) or 'none'}")
        self.kind = kind
        self.name = name
        self.known = tuple(known)


class UpstreamError(RouterError):
    """Raised by a provider when its server did something wrong.

    A reply never raises it: the router classifies it and asks the next endpoint. `cure` says what
    a person can do, where more is known than the failure's class says.
    """

    def __init__(self, message: str = "", *, cure: str = "") -> None:
        super().__init__(message)
        self.cure = cure


class UnreachableError(UpstreamError):
    """Raised when the server refused, was not found, failed TLS, or closed before it answered.

    Check that it runs, and that base_url is right.
    """


class AddressRefusedError(UnreachableError):
    """Raised when the user may not call the address; nothing was sent there.

    Use a public address, or ask an admin to allow this one.
    """


class StatusError(UpstreamError):
    """Raised for an HTTP status other than 2xx, or an error object in place of an answer.

    `status` is 0 when the error came inside a 200. `code` and `kind` are the server's own words
    for it (OpenAI's `error.code`, `error.type`); `param` the field that it objects to; `detail` its
    message, which is used to classify the error, may hold a caller's words, and is no part of this
    error's text. `retry_after` (s): when the server says to try again. `failures.ADVICE` says what
    to do about each class.
    """

    def __init__(
        self,
        status: int,
        *,
        code: str = "",
        kind: str = "",
        detail: str = "",
        param: str = "",
        retry_after: float | None = None,
    ) -> None:
        what = f"HTTP {status}" if status else "an error inside a 200"
        label = kind if code in {"", str(status)} else code
        super().__init__(f"{what} ({label})" if label else what)
        self.status = status
        self.code = code
        self.kind = kind
        self.detail = detail
        self.param = param
        self.retry_after = retry_after


class WrongAddressError(StatusError):
    """Raised when base_url leads to no chat API: no such route, or a redirect to somewhere else.

    The message says where it leads. Correct base_url.
    """

    def __init__(self, status: int, message: str, *, cure: str = "") -> None:
        super().__init__(status, detail=message)
        self.args = (message,)
        self.cure = cure


class BrokenStreamError(UpstreamError):
    """Raised when an answer broke off, turned into garbage or held half a tool call.

    If it happens often, check the server's log and any proxy in between.
    """


class SealError(RouterError):
    """Raised when a sealed value cannot be opened with the keys of this process.

    The message names the value's place, never the value or a key. Add the key that sealed it, or
    enter the value again.
    """


class ReplyFailedError(RouterError):
    """Raised to a reader of text when no connection could answer; a voice speaks a phrase instead.

    `reasons` says for each connection why it failed or was not asked, and what to do about it.
    """

    def __init__(self, reasons: Sequence[tuple[str, str]]) -> None:
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons)
        super().__init__(f"no connection could answer ({listed or 'no connection is set up'})")
        self.reasons = tuple(reasons)


class StoreError(RouterError):
    """Raised when the database could not be read or written.

    The message names the database and the reason. Try again once it is reachable; calls in progress
    do not need it.
    """


class ScoreboardError(StoreError):
    """Raised when the scoreboard could not be read or written.

    The message says where and why. Do what it says; until then each call starts without the
    measurements of other processes.
    """


class ApiError(RouterError):
    """Raised by a client of the management API that did not reach it or was refused.

    The message holds the address and the API's own explanation. Check the URL, the API key and the
    server's log.
    """


class NotFoundError(RouterError):
    """Raised when something does not exist, or the user may not see it; the two are the same to
    the user.

    List what there is, and check the name or id.
    """


class ForbiddenError(RouterError):
    """Raised when the user may see something and its role does not allow the action.

    Ask its owner or an admin.
    """


class ExpiredError(RouterError):
    """Raised for an API key that was valid until a time that has passed; the message has both.

    Ask an admin for another key.
    """


class BusyError(RouterError):
    """Raised when too much of the same work is under way.

    Try again after `retry_after` seconds.
    """

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConflictError(RouterError):
    """Raised when an action is impossible in the present state; the message says why.

    Read the state again, then decide.
    """


class TakenError(ConflictError):
    """Raised when an id or a name is in use; `field` says which of them.

    Choose another.
    """

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


class QuotaError(ConflictError):
    """Raised when one owner, or all owners together, would have more than may be stored.

    Remove some, or ask the operator to raise the limit if the message names one.
    """


class StaleError(ConflictError):
    """Raised when something was changed after it was read; `current` is its version now.

    Read it again and repeat the change.
    """

    def __init__(self, message: str, current: int) -> None:
        super().__init__(message)
        self.current = current
