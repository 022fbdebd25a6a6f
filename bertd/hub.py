"""Check that the Hugging Face hub answers before its libraries are used: they retry for half a minute.

The request runs in its own thread, because a name lookup in a network that drops packets cannot be given a timeout.
"""

from __future__ import annotations

import logging
import threading
from typing import Literal

from bertd.terminal_text import terminal_line

logger = logging.getLogger(__name__)

_TIMEOUT_S = 6.0
"""Together with the libraries' import time, the user gets an answer within 10 s."""
_REQUEST_TIMEOUT_S = 5.0


def hub_unreachable_reason(name: str, *, kind: Literal["dataset", "model"]) -> str | None:
    """Why the hub cannot be reached; None if it answers, even if it has no such name."""
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
        # It answered, or the name is invalid: the download that follows reports that in better words.
        return None
    except Exception as error:
        # The thread's edge, whose caller would wait for nothing. What cannot be reached is an error of requests, httpx
        # or httpx2, whichever this huggingface_hub uses, and they have no class in common.
        logger.debug("%s: the hub could not be asked", name, exc_info=True)
        return terminal_line(str(error)) or type(error).__name__
    return None
