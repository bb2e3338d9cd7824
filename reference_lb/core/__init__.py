"""The balancer's core: events in, commands out. No sockets, and no clock but the affinity clock among the parts."""
