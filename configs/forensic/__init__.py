"""Matching a subject seen again: phantoms, OAI and NIH ChestX-ray14."""
