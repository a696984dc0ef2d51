"""Measures how soon a changed connection holds in another process."""
