"""Storage: what is kept, and locations that cannot work are named before anything is written."""

import pickle
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from raybind.data.storage import open_storage
from raybind.errors import ConfigError


def test_objects_and_folders_of_a_local_path(tmp_path: Path) -> None:
    storage = open_storage(str(tmp_path))
    storage.write("a/b/one.txt", b"one")
    storage.write("a/two.txt", b"two")
    assert storage.list("a") == ["a/b/one.txt", "a/two.txt"]
    assert storage.children("a") == ["b", "two.txt"]
    assert storage.children("nothing") == []
    storage.delete_folder("a/b")
    storage.delete_folder("a/b")
    assert storage.list() == ["a/two.txt"]


def test_a_half_written_object_is_never_seen(tmp_path: Path) -> None:
    class Broken:
        def read(self, size: int) -> bytes:
            raise OSError("disk gone")

    storage = open_storage(str(tmp_path))
    with pytest.raises(OSError, match="disk gone"):
        storage.write_stream("x.tar", Broken())  # pyright: ignore[reportArgumentType]
    assert not storage.exists("x.tar")


def test_a_folder_that_is_a_file_or_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file is a file"):
        open_storage(str(tmp_path / "file/below")).check_writable()
    with pytest.raises(ConfigError, match=r"there is no folder .*missing"):
        open_storage(str(tmp_path / "missing")).check_readable()
    open_storage(str(tmp_path / "to/be/made")).check_writable()


def test_an_s3_location_needs_a_bucket() -> None:
    with pytest.raises(ConfigError, match="names no bucket"):
        open_storage("s3:///prefix")


@pytest.mark.s3
def test_objects_and_folders_of_a_bucket(s3_root: str) -> None:
    storage = open_storage(s3_root)
    storage.check_writable()
    storage.write("a/b/one.txt", b"one")
    storage.write("a/two.txt", b"two")
    assert storage.children("a") == ["b", "two.txt"]
    assert storage.read_range("a/two.txt", 1, 10) == b"wo"
    storage.delete_folder("a/b")
    storage.delete_folder("a/b")
    assert storage.list() == ["a/two.txt"]


@pytest.mark.s3
def test_a_bucket_that_is_missing_or_unreachable_is_named(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="bucket 'nowhere' does not exist at http://127"):
        open_storage("s3://nowhere/x").check_writable()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"s3://nowhere at http://127\.0\.0\.1:1 cannot be reached"):
        open_storage("s3://nowhere/x").check_readable()


def test_retries_go_with_a_filesystem_that_is_sent_to_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []

    class Busy(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            requests.append(self.path)
            self.send_response(503)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        storage = open_storage("s3://bucket/folder", retries=2)
        for sent in (storage, pickle.loads(pickle.dumps(storage))):  # noqa: S301 (its own)
            requests.clear()
            with pytest.raises(OSError, match="AWS Error"):
                sent.filesystem.get_file_info("bucket/folder/key")
            assert len(requests) == 2
        server.shutdown()
