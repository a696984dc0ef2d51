"""Decides when a caller's turn has ended, by how it sounds and by its words.

`rule` is the decision, `detector` makes it LiveKit's turn detector. LiveKit and its voice activity
detector measure the silence; the recogniser says when the words are final.
"""
