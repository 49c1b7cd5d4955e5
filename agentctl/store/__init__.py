"""The ledger: runs and their journals in one SQLite file, shared by any number of processes of one machine."""
