"""Prints what every bench prints: tables, pages, pictures, goals.

Nothing here knows which bench it serves.
"""
