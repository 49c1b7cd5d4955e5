"""The command line: `app.main` is the entry point; one file per command. Parse, call, print."""
