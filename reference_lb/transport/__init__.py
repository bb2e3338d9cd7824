"""All I/O: asyncio protocols that feed events to the core and do its commands."""
