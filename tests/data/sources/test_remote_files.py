"""Sources on file systems of fsspec: read as streams, tried again where a read fails, and continued."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFile

import bertd
from bertd.data.prepare.pipeline import PrepareOptions, prepare
from bertd.data.sources import remote_files
from bertd.data.sources.kinds import SourceKind
from bertd.data.sources.remote_files import RemoteFile, is_url, list_remote_files
from bertd.data.sources.spec import absolute_source, find_sources
from bertd.errors import CorpusError
from bertd.run.dataset_manifest import read_manifest
from tests.data.conftest import made_up_text
from tests.waiting import PATIENCE_S

OBJECT_STORES = Path(os.environ.get("BERTD_OBJECT_STORES", Path(sys.prefix) / "apart" / "object_stores"))
"""Where `make test` installs s3fs and moto, apart: together they are 300 MB."""
ROOT = Path(bertd.__file__).parents[1]


def contents() -> dict[str, bytes]:
    """Files of three kinds."""
    rows = [{"text": made_up_text(number, sentences=20)} for number in range(40)]
    parquet = pa.BufferOutputStream()
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows[:20]), parquet)
    return {
        "00.jsonl.gz": gzip.compress("".join(json.dumps(row) + "\n" for row in rows[20:]).encode()),
        "01.parquet": parquet.getvalue().to_pybytes(),
        "deep/02.txt": made_up_text(99, sentences=50).encode(),
        ".hidden.txt": b"not read",
    }


@pytest.fixture
def store() -> str:
    """A folder in memory with the files."""
    url = f"memory://{uuid.uuid4().hex}"
    for name, content in contents().items():
        with fsspec.open(f"{url}/{name}", "wb") as file:
            file.write(content)
    return url


@pytest.fixture
def local(tmp_path: Path) -> Path:
    """The same files on the disk."""
    for name, content in contents().items():
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "local"


def test_files_folders_and_globs_are_found(store: str) -> None:
    assert [file.url for file in list_remote_files(store)] == [
        f"{store}/{name}" for name in ("00.jsonl.gz", "01.parquet", "deep/02.txt")
    ]
    assert [file.name for file in list_remote_files(f"{store}/*.parquet")] == ["01.parquet"]
    assert {source.kind for source in find_sources([store])} == {SourceKind.JSONL, SourceKind.PARQUET, SourceKind.TEXT}
    (forced,) = find_sources([f"lines:{store}/deep/02.txt"])
    assert forced.kind is SourceKind.LINES
    with pytest.raises(CorpusError, match="no such file or folder"):
        find_sources([f"{store}/nothing"])
    with pytest.raises(CorpusError, match="given twice"):
        find_sources([f"{store}/01.parquet", f"{store}/*.parquet"])


def test_a_store_that_is_not_known_is_named() -> None:
    with pytest.raises(CorpusError, match="nosuch://x: .*name a store that fsspec knows"):
        find_sources(["nosuch://x"])
    assert is_url("s3://bucket/a") and not is_url("hf:org/name") and not is_url("/a://b")
    assert absolute_source("jsonl:s3://bucket/a") == "jsonl:s3://bucket/a"


def test_a_data_set_from_a_store_has_the_bytes_of_one_from_the_disk(
    tmp_path: Path, store: str, local: Path, vocab: Path
) -> None:
    options = PrepareOptions(vocab=str(vocab), validation_share=0.1)
    remote = prepare([store], out=tmp_path / "remote", options=options, processes=2)
    prepare([str(local)], out=tmp_path / "near", options=options, processes=1)
    near = read_manifest(tmp_path / "near")
    assert remote.files == near.files
    assert [source.bytes for source in remote.sources] == [source.bytes for source in near.sources]


def test_reads_that_fail_are_tried_again_from_where_they_stopped(
    tmp_path: Path, store: str, local: Path, vocab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_files, "_FIRST_PAUSE_S", 0.0)
    monkeypatch.setattr(remote_files, "_BUFFER_BYTES", 1000)
    reads = 0
    read = MemoryFile.read

    def read_badly(self: MemoryFile, *arguments: Any) -> Any:
        nonlocal reads
        reads += 1
        if reads % 3 == 0:
            raise ConnectionResetError("reset by peer")
        # A connection that ends early gives fewer bytes than it was asked for, or none.
        return b"" if reads % 7 == 0 else read(self, *(min(one, 700) for one in arguments))

    monkeypatch.setattr(MemoryFile, "read", read_badly)
    options = PrepareOptions(vocab=str(vocab), validation_share=0.1)
    remote = prepare([store], out=tmp_path / "remote", options=options, processes=1)
    monkeypatch.undo()
    prepare([str(local)], out=tmp_path / "near", options=options, processes=1)
    assert reads > 20 and remote.files == read_manifest(tmp_path / "near").files


def test_a_store_that_stays_away_is_an_error_and_the_next_attempt_continues(
    tmp_path: Path, store: str, vocab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_files, "_FIRST_PAUSE_S", 0.0)
    options = PrepareOptions(vocab=str(vocab), validation_share=0.1)
    monkeypatch.setattr("bertd.data.prepare.parts.task_planner.PART_BYTES", 1 << 12)
    with monkeypatch.context() as patch:
        read = MemoryFile.read

        def read_until_text(self: MemoryFile, *arguments: Any) -> Any:
            if str(self.path).endswith("02.txt") and any((tmp_path / ".tmp-set" / "parts").glob("part-*")):
                raise OSError("no route to host")
            return read(self, *arguments)

        patch.setattr(MemoryFile, "read", read_until_text)
        with pytest.raises(CorpusError, match=r"02.txt: cannot read: 5 tries failed: no route to host"):
            prepare([store], out=tmp_path / "set", options=options, processes=1)
    parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / ".tmp-set" / "parts").glob("part-*")}
    assert parts
    seen = list[int]()
    monkeypatch.setattr(
        "bertd.data.prepare.parts.worker_pool.InProcess.submit",
        _counting(seen, "bertd.data.prepare.parts.worker_pool"),
    )
    prepare([store], out=tmp_path / "set", options=options, processes=1)
    assert min(seen) >= len(parts)


def _counting(seen: list[int], module: str) -> Any:
    submit = vars(sys.modules[module].InProcess)["submit"]

    def submit_counted(self: Any, task: Any) -> None:
        seen.append(task.number)
        submit(self, task)

    return submit_counted


def test_another_content_under_the_same_name_is_another_file(store: str) -> None:
    file = RemoteFile(f"{store}/deep/02.txt")
    before = file.stat()
    with fsspec.open(file.url, "wb") as stream:
        stream.write(made_up_text(7, sentences=5).encode())
    assert file.stat() != before


_ON_S3 = """
import json, os, sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
host, port = server.get_host_and_port()
os.environ |= {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
               "AWS_DEFAULT_REGION": "us-east-1"}
import boto3
client = boto3.client("s3")
client.create_bucket(Bucket="corpus")
for root, _, names in os.walk(sys.argv[1]):
    for name in names:
        path = os.path.join(root, name)
        client.upload_file(path, "corpus", "web/" + os.path.relpath(path, sys.argv[1]))
from bertd.data.commands.prepare import main
status = main(["s3://corpus/web", "--vocab", sys.argv[2], "--out", sys.argv[3], "--validation=0.1", "--processes=1"])
server.stop()
sys.exit(status)
"""


@pytest.mark.slow
def test_a_data_set_is_made_from_an_s3_server(tmp_path: Path, local: Path, vocab: Path) -> None:
    if not (OBJECT_STORES / "moto").is_dir() or not (OBJECT_STORES / "s3fs").is_dir():
        pytest.skip(f"s3fs and moto are not installed in {OBJECT_STORES}; make test installs them")
    done = subprocess.run(
        [sys.executable, "-c", _ON_S3, str(local), str(vocab), str(tmp_path / "set")],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{OBJECT_STORES}"},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    options = PrepareOptions(vocab=str(vocab), validation_share=0.1)
    prepare([str(local)], out=tmp_path / "near", options=options, processes=1)
    assert read_manifest(tmp_path / "set").files == read_manifest(tmp_path / "near").files
