"""A node's last samples, their features, and rollups of hours and days."""
