"""Measures what it saves that all calls of a worker share one speech process."""
