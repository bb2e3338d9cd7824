"""The engine of limpet: it drives a balancer, records what happened and judges it."""
