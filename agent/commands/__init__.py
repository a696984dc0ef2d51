"""Holds the commands that the agent adds to `llm-router`, a module for each group.

They read the settings, as every entry point does, and do their work with the modules of `agent`.
Each imports little before it is run: the command line imports all groups, for `--help` too.
"""
