"""The auto-optimizer offline: measured environments, policies, and how they compare."""
