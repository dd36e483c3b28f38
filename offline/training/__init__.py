"""Training: from data sets to artifacts that workers may load, through gates."""
