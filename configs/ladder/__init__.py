"""Comparing images: five objectives on one small backbone."""
