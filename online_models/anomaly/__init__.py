"""What is unusual on a node or a link, which of seven types, and what operators said of it."""
