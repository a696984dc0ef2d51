"""Lists facts about servers and vendors: dialects, presets, prices.

Here belongs data about the outside world that changes with a vendor's documents, each row with its
source. What is done with a row belongs to `providers`, `discovery` or `routing`.
"""
