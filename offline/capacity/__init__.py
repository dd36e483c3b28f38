"""Capacity: what a resource will need in the weeks ahead, and when it runs out."""
