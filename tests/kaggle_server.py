"""A Kaggle of the tests' own on loopback, and a launcher that sends the real clients to it.

`python -m tests.kaggle_server ADDRESS [--dies-at FUNCTION] sercore|kaggle ARGUMENT…` runs the real
command with kagglesdk's table of endpoints changed, and nothing else.
"""

import base64
import hashlib
import importlib
import io
import json
import os
import random
import runpy
import socket
import sys
import zipfile
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from sercore.collection.checksums import published
from sercore.corpora import CORPORA

SECRET = "s3cr3t-of-the-test"
"""A credential that must turn up nowhere; the server repeats it in its errors and addresses."""

_SERVICE = "/v1/datasets.DatasetApiService/"
NOWHERE = "http://127.0.0.1:9"  # nothing listens there


def members(name: str) -> list[str]:
    """Return the paths in a corpus's archive; Kaggle's RAVDESS and TESS hold each clip twice."""
    paths = [path.removeprefix(f"{name}/") for path, _ in published(name).values()]
    second = {"ravdess": "audio_speech_actors_01-24/", "tess": "tess toronto/"}.get(name)
    return paths + [second + path for path in paths if second]


@cache
def make_archive(name: str, *, lost: int = 0, extra: tuple[str, ...] = ()) -> bytes:
    """Return a zip with the names of a corpus, all but the first few, and 3 MB of noise."""
    paths, file = [*members(name)[lost:], *extra], io.BytesIO()
    noise = random.Random(0).randbytes(3_000_000 // len(paths))
    with zipfile.ZipFile(file, "w") as archive:
        for path in paths:
            archive.writestr(zipfile.ZipInfo(path), noise)
    return file.getvalue()


@dataclass
class Dataset:
    """A set on the server.

    `cut` breaks the next download off after so many bytes; `md5` is what the server says in place
    of the checksum; `resumes` is whether storage knows Range.
    """

    archive: bytes
    version: int = 1
    cut: int | None = None
    md5: bytes | None = None
    resumes: bool = True


@dataclass
class KaggleServer:
    """Serves `sets`, by handle, on a free port while it is entered.

    `log` holds every request, and `keys` every credential that came with one. `status` makes a
    method (GetDataset, GetDatasetMetadata, DownloadDataset or storage) answer with an error, and
    `body` with a text.
    """

    sets: dict[str, Dataset] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    status: dict[str, int] = field(default_factory=dict)
    body: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, archive: bytes, **options) -> None:
        """Serve an archive as the Kaggle copy of a corpus."""
        self.sets[CORPORA[name].kaggle] = Dataset(archive, **options)

    def __enter__(self) -> "KaggleServer":
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.kaggle = self
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        # Polled often, so that closing does not wait.
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address) -> None:
        # kagglehub hangs up on a download that it goes on with by Range; the tests' process dies.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        """Keep the test's output clean: the requests are in `KaggleServer.log`."""

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = self.path.removeprefix(_SERVICE)
        handle = f"{request['ownerSlug']}/{request['datasetSlug']}"
        self.server.kaggle.log.append(f"{method} {handle}")
        self.server.kaggle.keys.add(self.headers.get("Authorization"))
        if self._refused(method, handle):
            return
        dataset = self.server.kaggle.sets[handle]
        if method == "DownloadDataset":
            location = f"/storage/{handle}?X-Goog-Signature={SECRET}"
            self._answer(302, headers={"Location": location})
        elif method == "GetDataset":
            version, size = dataset.version, len(dataset.archive)
            about = {"ref": handle, "currentVersionNumber": version, "totalBytes": size}
            self._answer_json(200, about)
        else:
            self._answer_json(200, {"info": {"licenses": [{"name": "Other"}]}})

    def do_GET(self) -> None:
        handle = self.path.removeprefix("/storage/").partition("?")[0]
        wanted = self.headers.get("Range")
        self.server.kaggle.log.append(f"storage {handle} {wanted or 'all'}")
        if self._refused("storage", handle):
            return
        dataset = self.server.kaggle.sets[handle]
        digest = dataset.md5 or hashlib.md5(dataset.archive).digest()
        headers = {
            "Content-Type": "application/zip",
            "ETag": f'"{hashlib.md5(dataset.archive).hexdigest()}"',
            "Last-Modified": "Tue, 01 Oct 2019 10:00:00 GMT",
            "x-goog-hash": f"crc32c=AAAAAA==,md5={base64.b64encode(digest).decode()}",
        }
        start = int(wanted.strip("bytes=-")) if wanted and dataset.resumes else 0
        if dataset.resumes:
            headers["Accept-Ranges"] = "bytes"
        if start:
            last = len(dataset.archive) - 1
            headers["Content-Range"] = f"bytes {start}-{last}/{last + 1}"
        cut, dataset.cut = dataset.cut, None
        self._answer(206 if start else 200, dataset.archive[start:], headers=headers, cut=cut)

    def _refused(self, method: str, handle: str) -> bool:
        server = self.server.kaggle
        if method in server.body:
            self._answer(200, server.body[method].encode(), headers={"Content-Type": "text/html"})
            return True
        status = server.status.get(method, 200 if handle in server.sets else 404)
        if status == 200:
            return False
        self._answer_json(status, {"code": status, "message": f"no, {SECRET}"})
        return True

    def _answer_json(self, status: int, value: dict) -> None:
        headers = {"Content-Type": "application/json", "Retry-After": "42"}
        self._answer(status, json.dumps(value).encode(), headers=headers)

    def _answer(self, status: int, body: bytes = b"", *, headers: dict, cut: int | None = None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:cut])
        if cut is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = cut is not None


def die_at(function: str, *, calls: int = 100) -> None:
    """End the process at a call of `module.function`, as a power cut would."""
    module, _, name = function.rpartition(".")
    owner = importlib.import_module(module)
    real, left = getattr(owner, name), iter(range(calls))

    def dying(*args, **kwargs):
        if next(left, None) is None:
            os._exit(9)
        return real(*args, **kwargs)

    setattr(owner, name, dying)


def main() -> None:
    """Run one of the two commands, whose kagglesdk finds Kaggle at the address."""
    from kagglesdk import kaggle_env

    address, *arguments = sys.argv[1:]
    kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = address
    if arguments[0] == "--dies-at":
        die_at(arguments[1])
        arguments = arguments[2:]
    sys.argv = arguments
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
