"""Fills databases with the usage of a busy installation, for the benches that need a full store."""
