"""Set-up and the demo, in plain Python: imports no package that set-up installs."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the one place an older Python still reaches
    sys.exit(
        "Patchbay needs Python 3.11 or newer; this is Python {}.{}. Name a newer one, "
        "for example: make setup PYTHON=python3.12".format(*sys.version_info[:2])
    )
