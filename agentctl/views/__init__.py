"""Read models: pure functions from rows, journals and waits to what the CLI, the HTTP API and the web pages show.

A view does no I/O: the caller reads the store and passes in what it found.
"""
