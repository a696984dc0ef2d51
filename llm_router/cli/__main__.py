"""Runs `llm-router` as `python -m llm_router.cli`."""

import sys

from llm_router.cli.main import main

sys.exit(main())
