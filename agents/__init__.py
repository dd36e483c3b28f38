"""The agents, one file each: what it reads, the step it applies, what it publishes."""
