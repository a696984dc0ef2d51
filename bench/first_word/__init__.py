"""Measures how soon the first word comes, and whether replies are whole, under faults."""
