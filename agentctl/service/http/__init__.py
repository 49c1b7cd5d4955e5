"""The HTTP interface of `agentctl serve`: events, webhooks, health and figures. Needs the extra `agentctl[serve]`."""
