"""The HTTP interface of `agentctl serve`: events, webhooks, health and counters. Needs the extra `agentctl[serve]`."""
