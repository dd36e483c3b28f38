"""Whether what a model sees, or how well it does, has changed."""
