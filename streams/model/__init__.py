"""Models: where artifacts lie, which versions there are, and what each is used for."""
