"""What the models would have said: one pass over a file, scored against what came next or what was labelled."""
