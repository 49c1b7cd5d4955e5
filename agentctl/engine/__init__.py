"""The embedded engine: one asyncio process that drives the runs of one store."""
