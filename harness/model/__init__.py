"""The pure heart: contracts, cookies, history, oracle, statistics. No sockets, no clock, no files."""
