"""`python -m bertd.data.commands.verify NAME`: read every byte of a data set and compare the hashes."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from bertd.data.dataset.locate import find_dataset
from bertd.data.dataset.shards import DataSet
from bertd.errors import BertdError
from bertd.program import run_main
from bertd.run.amounts.quantities import format_count
from bertd.terminal_text import terminal_json, terminal_text


def main(argv: list[str] | None = None) -> int:
    """Run the command; the exit status is 0 only for an unchanged data set."""
    parser = argparse.ArgumentParser(prog="bertd data verify", description="Check every file of a data set.")
    parser.add_argument("dataset", metavar="NAME", help="name or path of a data set")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    return run_main(lambda: _verify(parser.parse_args(argv)))


def _verify(args: argparse.Namespace) -> None:
    try:
        root = find_dataset(args.dataset)
        dataset = DataSet.open(root, verify=True)
    except BertdError as error:
        if args.json:
            print(terminal_json(json.dumps({"whole": False, "reason": str(error)})))
        raise
    num_bytes = sum(facts.size for facts in dataset.manifest.files.values())
    if args.json:
        tree = {"whole": True, "fingerprint": dataset.fingerprint, "bytes": num_bytes}
        print(terminal_json(json.dumps(tree)))
    else:
        print(
            terminal_text(
                f"{root}: valid: {format_count(len(dataset.manifest.files), 'file')}, {num_bytes / 1e6:,.1f} MB"
            )
        )


if __name__ == "__main__":
    # Exit silently when the reader of a pipe closes it, as `head` does.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
