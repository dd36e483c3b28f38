"""HDE or AMST: the oracle, the features, the online and trained selectors."""
