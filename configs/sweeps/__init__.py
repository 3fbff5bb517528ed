"""Experiments of many runs: a config, and `get_sweep` with its rows."""
