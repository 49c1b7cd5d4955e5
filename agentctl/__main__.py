"""`agentctl`, and `python -m agentctl`: the same."""

import gc
import sys
from typing import NoReturn

# Objects made, less those freed, between two looks for cycles. At Python's 700 a start-up looks some hundred times, all in vain.
_BETWEEN_LOOKS = 20_000


def run() -> NoReturn:
    gc.set_threshold(_BETWEEN_LOOKS)
    try:
        from agentctl.cli.app import main

        code = main()
    except KeyboardInterrupt:  # while that was read in, or on the way out
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    gc.freeze()  # what is left goes with the process: Python need not look through it as it ends (15 ms)
    sys.exit(code)


if __name__ == "__main__":
    run()
