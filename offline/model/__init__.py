"""`dwcp models`: the registry by hand."""
