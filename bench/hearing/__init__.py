"""The recognisers side by side: words that they get wrong, time to text, work and memory."""
