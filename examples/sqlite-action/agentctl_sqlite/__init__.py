"""The action `sqlite` for agentctl: read rows from a SQLite file."""
