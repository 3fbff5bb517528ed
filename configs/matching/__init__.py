"""Mammogram matching by triplets: semi-hard at first, then hard."""
