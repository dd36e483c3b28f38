"""Recordings: topics as files, played back, filled from CSV, and run through agents without a broker."""
