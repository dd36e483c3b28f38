"""Whether a node will break its latency objective, and how late it will be."""
