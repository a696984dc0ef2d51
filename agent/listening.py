"""Says in a sentence why a process cannot listen, and which setting to change."""

import errno
from typing import Literal

Process = Literal["HTTP", "WORKER", "GATEWAY"]


def refusal(error: OSError, host: str, port: int, process: Process) -> str:
    """Returns the reason with the remedy; `process` begins the names of the settings.

    The gateway listens on the host of the HTTP process.
    """
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is taken: stop its program, or set {process}_PORT to another"
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed here: set {process}_PORT to one above 1023"
    of_host = "HTTP" if process == "GATEWAY" else process
    return f"cannot listen on {host} ({error.strerror}): correct {of_host}_HOST"
