"""When a run starts."""
