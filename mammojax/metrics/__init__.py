"""Retrieval metrics, protocols, intervals and signs of collapse, in NumPy."""
