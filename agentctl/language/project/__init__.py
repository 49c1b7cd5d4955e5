"""The project around a definition."""

SOURCES = ("env", "credentials")  # of secrets
