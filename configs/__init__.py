"""Experiments: each file is a few differences from `base`."""
