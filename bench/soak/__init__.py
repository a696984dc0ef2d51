"""Measures what a router holds after a long run of faults."""
