"""Whether the Hugging Face hub answers, asked before its libraries are used, which try for half a minute to reach it.

The question is asked in a thread of its own, because looking up a name in a network that swallows packets cannot be
given a limit.
"""

from __future__ import annotations

import logging
import threading
from typing import Literal

from bertd.terminal_text import terminal_line

logger = logging.getLogger(__name__)

_TIMEOUT_S = 6.0
"""With what the libraries take to load, whoever waits is told within 10 s."""
_REQUEST_TIMEOUT_S = 5.0


def hub_unreachable_reason(name: str, *, kind: Literal["dataset", "model"]) -> str | None:
    """Why the hub cannot be asked for a name here; None if it answers, be it that it knows no such name."""
    found: list[str | None] = []
    thread = threading.Thread(target=lambda: found.append(_request_repo_info(name, kind=kind)), name="hub", daemon=True)
    thread.start()
    thread.join(_TIMEOUT_S)
    return found[0] if found else f"no answer in {_TIMEOUT_S:g} s"


def _request_repo_info(name: str, *, kind: Literal["dataset", "model"]) -> str | None:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    try:
        HfApi().repo_info(name, repo_type=kind, timeout=_REQUEST_TIMEOUT_S)
    except OfflineModeIsEnabled:
        return "HF_HUB_OFFLINE is set"
    except (HfHubHTTPError, HFValidationError):
        # It answered, or the name is none: whoever asks for the content is told so in better words.
        return None
    except Exception as error:
        # The thread's edge, whose caller would wait for nothing. What cannot be reached is an error of requests, httpx
        # or httpx2, whichever this huggingface_hub uses, and they have no class in common.
        logger.debug("%s: the hub could not be asked", name, exc_info=True)
        return terminal_line(str(error)) or type(error).__name__
    return None
