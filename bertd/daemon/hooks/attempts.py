"""One attempt to deliver to a hook of the configuration, by its kind."""

from __future__ import annotations

import threading
from pathlib import Path

from bertd.daemon.configuration.schema import HookSection
from bertd.daemon.hooks.command_hook import run_command
from bertd.daemon.hooks.hook_events import Delivery
from bertd.daemon.hooks.hook_worker import Attempt
from bertd.daemon.hooks.signature import HEADER, read_secret, sign
from bertd.daemon.hooks.webhook import post_to_socket, post_to_url


def attempt_by(hook: HookSection) -> Attempt:
    """What delivers to this hook."""

    def attempt(delivery: Delivery, is_cancelled: threading.Event) -> str:
        if hook.command is not None:
            return run_command(hook.command, delivery, timeout_s=hook.timeout_s, is_cancelled=is_cancelled)
        headers = _headers(hook, delivery)
        if hook.url is not None:
            return post_to_url(hook.url, delivery.body, headers, timeout_s=hook.timeout_s)
        assert hook.unix is not None
        return post_to_socket(hook.unix, delivery.body, headers, timeout_s=hook.timeout_s)

    return attempt


def _headers(hook: HookSection, delivery: Delivery) -> dict[str, str]:
    headers = {"Bertd-Event": str(delivery.event), "Bertd-Event-Id": str(delivery.event_id)}
    if hook.secret_file is not None:
        headers[HEADER] = sign(delivery.body, read_secret(Path(hook.secret_file)))
    return headers
