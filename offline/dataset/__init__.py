"""Data sets: recordings as typed tables."""
