"""Plans scenarios, runs them side by side so that their waits overlap, and reaches verdicts."""
