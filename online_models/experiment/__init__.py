"""Which model is better: sums, tests that may look often, promotion, rollout and rollback."""
