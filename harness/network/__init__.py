"""Where traffic comes from: what a user's place on the network is, and which address the balancer sees of it."""
