"""An answer to a request of which more is still to come: it goes out at once, and the rest is read and thrown away.

Were the connection closed before, TCP would reset it, and a client that is still sending would see that instead of the answer
(RFC 9112, section 9.6). A client may continue to send until the deadline of its request.
"""

from __future__ import annotations

import asyncio

from starlette.types import Message, Receive, Send

SILENCE = 2.0  # seconds without a byte after which the rest is taken not to come: the answer was heard


def lingering(receive: Receive, send: Send) -> tuple[Receive, Send]:
    """The same two, but the last part of an answer waits for the end of the request."""
    more = True  # of the request may come

    async def read() -> Message:
        nonlocal more
        message = await receive()
        more = message["type"] == "http.request" and message.get("more_body", False)
        return message

    async def answer(message: Message) -> None:
        if more and message["type"] == "http.response.body" and not message.get("more_body", False):
            await send({**message, "more_body": True})
            await rest()
            message = {"type": "http.response.body", "body": b""}
        await send(message)

    async def rest() -> None:
        try:
            while more:
                await asyncio.wait_for(read(), SILENCE)
        except TimeoutError:
            return

    return read, answer
