"""`agentctl serve`: the process that lives."""
