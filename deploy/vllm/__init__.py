"""Finds out how many callers a vLLM server answers in time; see the README beside it."""
