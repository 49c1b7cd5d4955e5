"""`python -m agentctl`: the same as the `agentctl` command."""

import sys

from agentctl.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
