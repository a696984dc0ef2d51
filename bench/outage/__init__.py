"""Simulates a day of calls in which everything goes wrong."""
