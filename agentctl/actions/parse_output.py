"""Parse a large output, or YAML, in a process of its own: a timeout can kill it, and the event loop does not wait for it.

argv: HOW FD. Reads the output from stdin, and writes one line to the pipe FD: see `answer`. `how`: json, yaml, lines.
"""

from __future__ import annotations

import os
import sys


def main() -> None:
    how, descriptor = sys.argv[1], int(sys.argv[2])
    with open(descriptor, "wb") as channel:
        channel.write(_line(how, sys.stdin.buffer.read()))


def _line(how: str, data: bytes) -> bytes:
    import msgspec

    from agentctl.actions.text import read_output

    try:
        return b"R" + msgspec.json.encode(read_output(data, how)) + b"\n"
    except ValueError as error:
        return b"F" + msgspec.json.encode({"failure": str(error)}) + b"\n"


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # without taking down a large value piece by piece
