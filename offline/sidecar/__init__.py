"""The sidecar: keeps what streams by, trains on it, and leads models from candidate to champion and back."""
