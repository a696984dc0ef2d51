"""Measures the store's queries on millions of attempts."""
