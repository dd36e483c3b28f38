"""Nine parameters tuned by what was measured."""
