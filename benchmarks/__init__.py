"""Speed, measured side by side in one run; prints tables, asserts nothing."""
