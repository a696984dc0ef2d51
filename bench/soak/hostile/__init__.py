"""Measures what callers notice of hostile visitors and servers beside them."""
