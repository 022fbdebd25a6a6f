"""`bert-tui --serve`: read-only, on loopback, for its own pages alone; looked at in a browser."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import PATIENCE_S, wait_for
from tui.app import _parse_arguments, main
from tui.serve import dashboard_command, is_own_page

_BAR_PIXELS = """
new Promise(resolve => {
  const image = new Image();
  image.onload = () => {
    const canvas = document.createElement('canvas');
    canvas.width = image.width; canvas.height = image.height;
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const data = context.getImageData(0, 0, image.width, image.height).data;
    let count = 0;
    for (let at = 0; at < data.length; at += 4)
      if (Math.abs(data[at] - 0x56) + Math.abs(data[at + 1] - 0xb4) + Math.abs(data[at + 2] - 0xe9) < 12) count++;
    resolve(count);
  };
  image.src = 'data:image/png;base64,' + PICTURE;
})
"""
"""How many pixels of a picture have the colour of the bars."""


@pytest.fixture
def port() -> Iterator[int]:
    """Of a server of the simulation."""
    pytest.importorskip("textual_serve", reason="needs textual-serve: pip install 'bertd[serve]'")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        free: int = sock.getsockname()[1]
    command = [sys.executable, "-m", "tui", "--demo", "--serve", str(free)]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    said = process.stdout.readline().decode()
    assert said == f"bert-tui: read-only at http://127.0.0.1:{free} for all users of this machine; Ctrl-C ends it\n"
    wait_for(lambda: _answers(free), what="the server")
    yield free
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 0
    process.stdout.close()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


async def test_a_page_of_it_gets_the_run_and_no_key_acts(port: int) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/") as page:
            assert page.status == 200
            assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
        url = f"http://127.0.0.1:{port}/ws?width=120&height=40"
        async with session.ws_connect(url, headers={"Origin": f"http://localhost:{port}"}) as page_socket:
            await _read_until(page_socket, "read-only")
            await page_socket.send_json(["stdin", "p"])
            await _read_until(page_socket, "without --readonly")
            await page_socket.send_json(["stdin", "w"])
            await _read_until(page_socket, "browser writes no")


async def _read_until(page_socket: Any, text: str) -> None:
    seen = b""
    async with asyncio.timeout(PATIENCE_S):
        while text.encode() not in seen:
            message = await page_socket.receive()
            seen += message.data if isinstance(message.data, bytes) else b""


async def test_pages_of_others_are_refused(port: int) -> None:
    import aiohttp

    url = f"http://127.0.0.1:{port}/ws"
    async with aiohttp.ClientSession() as session:
        for headers in ({"Host": f"evil.example:{port}"}, {"Origin": "http://evil.example"}):
            async with session.get(url, headers=headers) as refused:
                assert refused.status == 403


async def test_a_browser_shows_it(port: int, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("needs chromium (Debian: chromium)")
    import aiohttp

    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--window-size=1300,800"]
    process = subprocess.Popen(
        [browser, *options, f"--user-data-dir={tmp_path}/profile", f"http://127.0.0.1:{port}/"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        file = tmp_path / "profile" / "DevToolsActivePort"
        wait_for(lambda: file.is_file() and "\n" in file.read_text(), what="chromium")
        debugging = file.read_text().split()[0]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{debugging}/json") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=1 << 25) as page:
                async with asyncio.timeout(PATIENCE_S):
                    while await _count_bar_pixels(page, tmp_path / "page.png") < 500:
                        await asyncio.sleep(0.05)
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


async def _count_bar_pixels(page: Any, file: Path) -> int:
    picture = (await _call(page, "Page.captureScreenshot", format="png"))["data"]
    file.write_bytes(base64.b64decode(picture))
    script = _BAR_PIXELS.replace("PICTURE", json.dumps(picture))
    answer = await _call(page, "Runtime.evaluate", expression=script, awaitPromise=True)
    count: int = answer["result"]["value"]
    return count


async def _call(page: Any, method: str, **parameters: object) -> dict[str, Any]:
    await page.send_json({"id": 1, "method": method, "params": parameters})
    while True:
        answer: dict[str, Any] = await page.receive_json()
        if answer.get("id") == 1:
            result: dict[str, Any] = answer["result"]
            return result


@pytest.mark.parametrize(
    ("host", "origin", "is_own"),
    [
        ("127.0.0.1:8200", None, True),
        ("localhost:8200", "http://127.0.0.1:8200", True),
        ("evil.example:8200", None, False),
        ("127.0.0.1:8200", "http://evil.example", False),
        ("127.0.0.1:8200", "http://127.0.0.1:81", False),
        ("127.0.0.1:8200", "https://127.0.0.1:8200", False),
        ("127.0.0.1:8200", "null", False),
        ("", None, False),
    ],
)
def test_only_its_own_pages_may_connect(host: str, origin: str | None, is_own: bool) -> None:
    assert is_own_page(host, origin, port=8200) is is_own


def test_a_visitors_dashboard_is_read_only_and_has_the_options_of_this_one() -> None:
    arguments = ["--serve", "--socket", "/a b.sock", "--host", "ada@box:/s", "--ascii", "--palette", "light"]
    command = dashboard_command(_parse_arguments(arguments))
    assert " -m tui --readonly " in command
    assert "--palette light --socket '/a b.sock' --host ada@box:/s --ascii" in command


def test_where_textual_serve_is_missing_the_remedy_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "textual_serve.server", None)
    assert main(["--demo", "--serve"]) == 1
    assert "pip install 'bertd[serve]'" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0", "65536", "x", "-1"])
def test_what_is_no_port_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--demo", f"--serve={text}"]) == 2
    assert "is no port" in capsys.readouterr().err
