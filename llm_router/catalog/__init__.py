"""Data about servers and vendors: dialects, presets, prices.

Here belong facts about the outside world that change with a vendor's documents, each row with its
source. Code that acts on a row belongs to `providers`, `discovery` or `routing`.
"""
