"""Measures what a call costs, what many workers ask of the store, and which part is full first."""
