"""Backends and balancers in containers: a run's own, and those of the user's that a target names."""
