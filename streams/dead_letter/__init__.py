"""Dead letters: what they say, which were sent back, and sending them back."""
