"""Measures the console in a real browser over a store that is full."""
