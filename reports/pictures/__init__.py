"""Pictures of what happened, drawn from histories: a timeline, and charts of its numbers. Pure but for the handler."""
