"""litellm, imported late: it takes seconds and 185 MB. A run that calls no model does without."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import threading
import warnings
from concurrent.futures import Future
from typing import Any


def warm_up() -> None:
    """Begin the import in a thread, once. Returns at once; call it as soon as a run is known to have an `llm` step."""
    _importing()


async def library() -> Any:
    """The module litellm, made quiet. Waits for the import without blocking the loop."""
    return await asyncio.shield(asyncio.wrap_future(_importing()))


@functools.cache
def _importing() -> Future[Any]:
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(_import())
        except BaseException as error:
            future.set_exception(error)

    # A daemon: a command that ends before the import does must not wait for it.
    threading.Thread(target=work, name="import litellm", daemon=True).start()
    return future


def _import() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it fetches its price list from the network
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    # pydantic warns of every answer that is not quite OpenAI's; what matters of that is in our own errors.
    warnings.filterwarnings("ignore", message="Pydantic serializer warnings", category=UserWarning)
    import litellm

    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.disable_aiohttp_transport = True  # one HTTP stack less to close; httpx is there anyway
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # the import sets them again
    return litellm
