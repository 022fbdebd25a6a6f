"""Entry point of `bert-tui`: parse the arguments, then start the dashboard or print.

Heavy modules are imported late. Textual is imported only for the dashboard, after the environment variables that it
reads at import are set. Garbage collection is off during start-up: it takes a quarter of the time to the first frame.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import bertd
from bertd.program import print_error, run_main
from tui.completion import add_install_options, is_requested, run_completion
from tui.open_feed import fetch_once, open_feed, open_replay
from tui.palettes import DEFAULT_PALETTE, PALETTES
from tui.replay.playback import DEFAULT_SPEED, MAX_SPEED, MIN_SPEED
from tui.serve import DEFAULT_PORT, serve

if TYPE_CHECKING:
    from bertd.api.ssh_forward import RemoteHost
    from tui.display_options import DisplayOptions
    from tui.late_feed import LateFeed
    from tui.replay.playback import Playback
    from tui.snapshot import Feed

_PLAIN_TERMINALS = ("dumb", "unknown")
"""Terminals that show escape sequences as characters. Source: rich.console.Console.is_dumb_terminal."""
_WEB_DRIVER = "web_driver"
"""In $TEXTUAL_DRIVER where textual-serve has started this process for a browser."""
_ASCII_LOCALES = ("C", "POSIX")
_READER_LEFT = 141
"""Exit status where whoever read the output has left: 128 + SIGPIPE, as a shell reports it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `bert-tui`.

    Returns:
        The exit status: 0, or that of the error's class (docs: bertd.errors); 2 for wrong arguments.
    """
    gc.disable()
    # Or pydantic reads the metadata of every installed package, to look for plugins.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    return run_main(lambda: _watch(arguments), name="bert-tui", reader_left=_READER_LEFT)


def _watch(arguments: Sequence[str] | None) -> int:
    if is_requested(sys.argv[1:] if arguments is None else arguments, os.environ):
        return run_completion(_build_parser())
    args = _parse_arguments(arguments)
    options = _display_options(args, os.environ, encoding=sys.stdout.encoding)
    if not (args.once or args.json or args.plain or args.serve is not None):
        from tui.key_configuration import key_file, read_keys

        options = replace(options, keys=read_keys(key_file(os.environ)))
    if args.once or args.json:
        return _print_once(args, options)
    if args.serve is not None:
        return serve(args)
    if args.plain:
        return _print_lines(open_feed(args))
    if args.replay is not None:
        replay = open_replay(args)
        return _run_dashboard(replay, options, playback=replay.playback)
    from tui.late_feed import LateFeed

    late = LateFeed(partial(_open_late, args))
    code = _run_dashboard(cast("Feed", late), options, late=late)
    if late.error is not None:
        raise late.error
    return code


def _open_late(args: argparse.Namespace) -> Feed:
    try:
        return open_feed(args)
    finally:
        _collect_garbage_again()


def _collect_garbage_again() -> None:
    """End of the start-up: what was imported until now is never freed."""
    gc.freeze()
    gc.enable()


def _parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _build_parser()
    args = parser.parse_args(arguments)
    if len(args.host) + (args.socket is not None) > 1 and (args.once or args.json or args.plain):
        parser.error("--once, --plain and --json show one daemon; give one --host, or one --socket")
    if args.replay is not None and (args.host or args.socket is not None or args.demo):
        parser.error("--replay needs no daemon; leave out --host, --socket and --demo")
    if args.speed is not None and args.replay is None:
        parser.error("--speed is of --replay RUN; give both")
    args.speed = DEFAULT_SPEED if args.speed is None else args.speed
    return args


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bert-tui",
        description="Watch and control a bertd pretraining from any terminal. Quitting does not affect the training.",
        epilog="Exit status: 0; 69 if no daemon answers; 78 for a wrong tui.toml; 2 for wrong arguments.",
    )
    parser.add_argument(
        "--socket", type=Path, help="the daemon's socket (default: $BERTD_SOCKET, else the daemon's default path)"
    )
    parser.add_argument(
        "--host",
        type=_parse_host,
        action="append",
        default=[],
        metavar="USER@BOX",
        help="a daemon on another machine, over ssh; several times: all of them in one dashboard. "
        "USER@BOX:/PATH names its socket there",
    )
    output_mode = parser.add_mutually_exclusive_group()
    output_mode.add_argument("--once", action="store_true", help="print the screen once as text and exit")
    output_mode.add_argument("--plain", action="store_true", help="print a line at each change, until Ctrl-C")
    output_mode.add_argument("--json", action="store_true", help="print status and curves once as JSON and exit")
    output_mode.add_argument(
        "--serve",
        type=_parse_port,
        nargs="?",
        const=DEFAULT_PORT,
        metavar="PORT",
        help=f"show it read-only in a browser on this machine, at port {DEFAULT_PORT} by default",
    )
    parser.add_argument("--readonly", action="store_true", help="disable the keys that act on jobs")
    parser.add_argument("--demo", action="store_true", help="simulate an 8-GPU machine at 60x speed; needs no daemon")
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="RUN",
        help="play a run from the journal in its folder; needs no daemon. With --once or --json: its end",
    )
    parser.add_argument(
        "--speed",
        type=_parse_speed,
        metavar="TIMES",
        help=f"how many times as fast as the run was a replay is; {DEFAULT_SPEED:g} by default",
    )
    parser.add_argument("--ascii", action="store_true", help="draw with ASCII characters only")
    parser.add_argument(
        "--palette",
        choices=list(PALETTES),
        default=DEFAULT_PALETTE,
        help=f"colours for a background; {DEFAULT_PALETTE}, the default, is for any",
    )
    parser.add_argument(
        "--low-bandwidth", action="store_true", help="draw every five seconds; keys are answered at once"
    )
    parser.add_argument("--version", action="version", version=f"bert-tui {bertd.__version__}")
    add_install_options(parser)
    return parser


def _parse_host(text: str) -> RemoteHost:
    from bertd.api.ssh_forward import parse_host

    try:
        return parse_host(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _parse_port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give a number from 1 to {(1 << 16) - 1}")
    return int(text)


def _parse_speed(text: str) -> float:
    try:
        speed = float(text.removesuffix("x"))
    except ValueError:
        speed = math.nan
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise argparse.ArgumentTypeError(f"{text!r} is no speed; give a number from {MIN_SPEED:g} to {MAX_SPEED:g}")
    return speed


def _display_options(
    args: argparse.Namespace, environment: os._Environ[str] | dict[str, str], *, encoding: str | None
) -> DisplayOptions:
    from tui.display_options import DisplayOptions
    from tui.drawing.glyphs import ASCII, UNICODE

    is_unicode = _WEB_DRIVER in environment.get("TEXTUAL_DRIVER", "") or (
        (encoding or "").lower().replace("-", "") == "utf8"
        and environment.get("TERM") != "linux"
        and _locale_name(environment) not in _ASCII_LOCALES
    )
    return DisplayOptions(
        glyphs=UNICODE if is_unicode and not args.ascii else ASCII,
        has_color=not environment.get("NO_COLOR"),
        is_readonly=args.readonly,
        palette=args.palette,
        is_low_bandwidth=args.low_bandwidth,
    )


def _locale_name(environment: os._Environ[str] | dict[str, str]) -> str:
    """The locale of characters; Python itself uses UTF-8 also in the locale C."""
    names = (environment.get(key, "") for key in ("LC_ALL", "LC_CTYPE", "LANG"))
    return next((name for name in names if name), "")


def _print_once(args: argparse.Namespace, options: DisplayOptions) -> int:
    from tui.plain_output import render_json, render_page

    snapshot = fetch_once(args)
    width = shutil.get_terminal_size((100, 40)).columns
    print(render_json(snapshot) if args.json else render_page(snapshot, options, width))
    sys.stdout.flush()
    return 0


def _print_lines(feed: Feed) -> int:
    from tui.plain_output import follow_lines

    gc.enable()
    feed.start()
    try:
        for text in follow_lines(feed):
            print(text, flush=True)
    finally:
        feed.close()
    return 0


def _run_dashboard(
    feed: Feed, options: DisplayOptions, *, playback: Playback | None = None, late: LateFeed | None = None
) -> int:
    is_in_browser = _WEB_DRIVER in os.environ.get("TEXTUAL_DRIVER", "")
    if not is_in_browser and not (sys.stdin.isatty() and sys.stdout.isatty()):
        print_error("not a terminal; use --once, --plain or --json", name="bert-tui")
        return 2
    if not is_in_browser and (terminal := os.environ.get("TERM", "")) in _PLAIN_TERMINALS:
        print_error(f"TERM={terminal} draws no screen; use --once, --plain or --json", name="bert-tui")
        return 2
    if late is None:
        feed.start()
    _set_textual_defaults(os.environ)
    from tui.dashboard import Dashboard

    app = Dashboard(feed, options=options, playback=playback)
    if late is not None:
        late.when_failed(partial(app.call_from_thread, app.exit))
    else:
        _collect_garbage_again()
    app.run()
    return app.return_code or 0


def _set_textual_defaults(environment: os._Environ[str] | dict[str, str]) -> None:
    """Turn animations off and limit the frame rate over SSH, where each frame costs bytes; keep what the user set."""
    environment.setdefault("TEXTUAL_ANIMATIONS", "none")
    environment.setdefault("TEXTUAL_SMOOTH_SCROLL", "0")
    if "SSH_CONNECTION" in environment:
        environment.setdefault("TEXTUAL_FPS", "15")


if __name__ == "__main__":
    sys.exit(main())
