"""From files, tables and formulas to batches on the host; never jax."""
