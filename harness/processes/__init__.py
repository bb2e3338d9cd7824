"""Processes that never outlive their run: keeper.Keeper, lease.LoopbackLease, waiting.wait_until."""
