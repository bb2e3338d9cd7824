"""limpet's reference balancer. Shares no code with the harness: a bug in one must not hide in the other."""
