"""Decides when a caller's turn has ended, by how it sounds and by its words.

`rule` is the decision, `detector` makes it LiveKit's turn detector. How long a silence lasts is
LiveKit's and its detector of voices' to say; when the words are final, the recogniser's.
"""
