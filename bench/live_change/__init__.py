"""Measures how soon a changed connection takes effect in another process."""
