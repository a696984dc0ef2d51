"""Measures calls by telephone: how soon they are answered and spoken to, and what ten cost."""
