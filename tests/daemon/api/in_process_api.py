"""The daemon's application in the test's own process: its routes over a real queue, without socket or scheduler."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.types import Message

from bertd.api.models import SubmitPretrain
from bertd.daemon.api.application import create_app
from bertd.daemon.configuration.sources import ConfigurationSources, read_configuration
from bertd.daemon.process.state_folder import open_state_folder
from bertd.daemon.scheduling.runners import runner_command
from bertd.daemon.wiring import build_services
from bertd.jobs.store.audit import Peer
from bertd.jobs.store.database import Database
from tests.jobs.runner_box import recipe_text
from tests.run.data_sets import write_manifest


@dataclass(frozen=True)
class ApiAnswer:
    """One answer."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.content)


class InProcessApi:
    """What a test does to the application."""

    def __init__(self, folder: Path) -> None:
        paths = open_state_folder(folder / "state")
        self.database = Database(paths.queue)
        sources = ConfigurationSources(folders=(folder,))
        self.services = build_services(
            paths,
            database=self.database,
            runner=runner_command,
            sources=sources,
            started=read_configuration(sources),
        )
        self.queue, self.events = self.services.queue, self.services.events
        self.num_shutdowns = 0
        """How often the daemon was to end."""
        self.app = create_app(self.services.api_services(shut_down=self._shut_down))
        self.uid = os.getuid()
        """Of the peer."""
        self.shards = folder / "shards"
        self.shards.mkdir()
        write_manifest(self.shards)

    def _shut_down(self) -> None:
        self.num_shutdowns += 1

    def ask(self, method: str, target: str, body: object = None, *, headers: dict[str, str] | None = None) -> ApiAnswer:
        """One request and its whole answer."""
        return asyncio.run(self._ask(method, target, body, headers or {}))

    async def _ask(self, method: str, target: str, body: object, headers: dict[str, str]) -> ApiAnswer:
        path, _, query = target.partition("?")
        content = b"" if body is None else json.dumps(body).encode()
        sent = {"host": "x", "content-length": str(len(content))} | headers
        sent |= {"content-type": "application/json"} if content else {}
        messages: list[Message] = []
        is_read = False

        async def receive() -> Message:
            nonlocal is_read
            if is_read:
                await asyncio.Event().wait()
            is_read = True
            return {"type": "http.request", "body": content}

        async def send(message: Message) -> None:
            messages.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
            "state": {"peer": Peer(uid=self.uid, gid=self.uid, pid=1)},
        }
        await self.app(scope, receive, send)
        got = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
        return ApiAnswer(messages[0]["status"], got, b"".join(message.get("body", b"") for message in messages[1:]))

    def submit(self, *, hold: bool = True) -> int:
        """Queue a pretraining and return its number."""
        order = SubmitPretrain(
            recipe_toml=recipe_text(steps=20, shards=str(self.shards)), recipe_name="fake.toml", hold=hold
        )
        answer = self.ask("POST", "/v1/jobs", order.model_dump(mode="json"))
        assert answer.status == 201, answer.content
        return int(answer.json["id"])

    def close(self) -> None:
        """Close the queue."""
        self.database.close()
