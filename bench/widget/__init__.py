"""Measures the widget in a real browser: how soon a visitor reads and hears."""
