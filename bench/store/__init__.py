"""Measures the store's questions on millions of attempts."""
