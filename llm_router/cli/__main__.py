"""`python -m llm_router.cli`, the same as `llm-router`."""

import sys

from llm_router.cli.main import main

sys.exit(main())
