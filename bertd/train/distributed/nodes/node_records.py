"""What the machines of a run tell each other through the store, and why one of them is refused. Pure."""

from __future__ import annotations

from bertd.records import Record, Software

PACKAGES = ("torch", "triton", "numpy", "safetensors", "tokenizers", "transformers")
"""Packages that change what is computed or read; others may differ."""


class NodeFacts(Record):
    """What must be equal on all machines, except the host's name."""

    host: str
    bertd: str
    source_sha256: str
    """Of bertd's own files."""
    python: str
    packages: dict[str, str]
    """Of PACKAGES, those that are installed."""
    device: str
    """cpu, or the name of the GPUs."""
    data_fingerprint: str


class NodeOffer(Record):
    """What the first machine tells to those that join."""

    run_id: str
    attempt: int
    recipe: str
    """recipe.toml, as it is in the run folder."""
    facts: NodeFacts
    probe_port: int
    """A port of the kernel's choice, by which a machine checks that no firewall is between."""


class NodeReply(Record):
    """What a machine that joins answers."""

    facts: NodeFacts
    num_devices: int
    """Devices that it has."""
    first_address: str
    """Of the first machine, as this one reaches it."""
    address: str
    """Of this machine, as the first one may reach it."""
    probe_port: int
    problem: str = ""
    """Why it cannot join, if it has noticed that itself."""


class NodeVerdict(Record):
    """What the first machine decided about one that joins."""

    node: int = 0
    """Its number, from 1; the first machine is 0."""
    num_nodes: int = 0
    refusal: str = ""
    """Why it may not join; empty if it may."""


class NodeFailure(Record):
    """Why the ranks of a machine failed."""

    exit_code: int
    code: str
    """Class of the error."""
    message: str


def collect_facts(software: Software, *, host: str, device: str, data_fingerprint: str) -> NodeFacts:
    """The facts of a machine with this software."""
    packages = {name: software.packages[name] for name in PACKAGES if name in software.packages}
    return NodeFacts(
        host=host,
        bertd=software.bertd,
        source_sha256=software.source_sha256,
        python=".".join(software.python.split(".")[:2]),
        packages=packages,
        device=device,
        data_fingerprint=data_fingerprint,
    )


def find_difference(first: NodeFacts, other: NodeFacts) -> str:
    """Why the two machines cannot train together; empty if they can."""
    if first.bertd != other.bertd:
        return f"bertd is {other.bertd} on {other.host} and {first.bertd} on {first.host}: install the same"
    if first.source_sha256 != other.source_sha256:
        return f"bertd {first.bertd} on {other.host} has other files than on {first.host}: install the same"
    if first.python != other.python:
        return f"Python is {other.python} on {other.host} and {first.python} on {first.host}: install the same"
    for name in PACKAGES:
        ours, theirs = first.packages.get(name), other.packages.get(name)
        if ours != theirs:
            there, here = theirs or "not installed", ours or "not installed"
            return f"{name} is {there} on {other.host} and {here} on {first.host}: install the same"
    if first.device != other.device:
        return (
            f"{other.host} has {other.device}, {first.host} {first.device}: the faster ones would wait for the others "
            "in each step; take machines with the same GPUs"
        )
    if first.data_fingerprint != other.data_fingerprint:
        return (
            f"the data set on {other.host} is another one than on {first.host}; copy it, or name its folder there: "
            "bertd join --data FOLDER"
        )
    return ""
