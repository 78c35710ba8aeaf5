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
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

from sercore.collection.checksums import published
from sercore.corpora import CORPORA

SECRET = "s3cr3t-of-the-test"
"""A credential that must turn up nowhere; the server repeats it in its errors and addresses."""


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


class KaggleServer(ThreadingHTTPServer):
    """Serves `sets`, by handle, on a free port while it is entered.

    `log` holds every request, and `keys` every credential that came with one. `status` makes a
    method (GetDataset, GetDatasetMetadata, DownloadDataset or storage) answer with an error, and
    `body` with a text.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.sets, self.log, self.keys, self.status, self.body = {}, [], set(), {}, {}

    def add(self, name: str, archive: bytes, *, cut=None, md5=None, resumes=True) -> None:
        """Serve an archive as the Kaggle copy of a corpus.

        `cut` breaks the next download off after so many bytes; `md5` is what the server says in
        place of the checksum; `resumes` is whether storage knows Range.
        """
        options = {"cut": cut, "md5": md5 or hashlib.md5(archive).digest(), "resumes": resumes}
        self.sets[CORPORA[name].kaggle] = SimpleNamespace(archive=archive, **options)

    def __enter__(self) -> "KaggleServer":
        # Polled often, so that closing does not wait.
        Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error) -> None:
        self.shutdown()
        super().__exit__(*error)

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
        method = self.path.removeprefix("/v1/datasets.DatasetApiService/")
        handle = f"{request['ownerSlug']}/{request['datasetSlug']}"
        self.server.log.append(f"{method} {handle}")
        self.server.keys.add(self.headers.get("Authorization"))
        if self._refused(method, handle):
            return
        if method == "DownloadDataset":
            location = f"/storage/{handle}?X-Goog-Signature={SECRET}"
            self._answer(302, headers={"Location": location})
        elif method == "GetDataset":
            size = len(self.server.sets[handle].archive)
            self._answer_json(200, {"ref": handle, "currentVersionNumber": 1, "totalBytes": size})
        else:
            self._answer_json(200, {"info": {"licenses": [{"name": "Other"}]}})

    def do_GET(self) -> None:
        handle = self.path.removeprefix("/storage/").partition("?")[0]
        wanted = self.headers.get("Range")
        self.server.log.append(f"storage {handle} {wanted or 'all'}")
        if self._refused("storage", handle):
            return
        dataset = self.server.sets[handle]
        headers = {
            "Content-Type": "application/zip",
            "ETag": f'"{hashlib.md5(dataset.archive).hexdigest()}"',
            "Last-Modified": "Tue, 01 Oct 2019 10:00:00 GMT",
            "x-goog-hash": f"crc32c=AAAAAA==,md5={base64.b64encode(dataset.md5).decode()}",
        }
        start = int(wanted.strip("bytes=-")) if wanted and dataset.resumes else 0
        if dataset.resumes:
            headers["Accept-Ranges"] = "bytes"
        if start:
            size = len(dataset.archive)
            headers["Content-Range"] = f"bytes {start}-{size - 1}/{size}"
        cut, dataset.cut = dataset.cut, None
        self._answer(206 if start else 200, dataset.archive[start:], headers=headers, cut=cut)

    def _refused(self, method: str, handle: str) -> bool:
        server = self.server
        status = server.status.get(method, 200 if handle in server.sets else 404)
        if method in server.body:
            self._answer(200, server.body[method].encode(), headers={"Content-Type": "text/html"})
        elif status != 200:
            self._answer_json(status, {"code": status, "message": f"no, {SECRET}"})
        return method in server.body or status != 200

    def _answer_json(self, status: int, value: dict) -> None:
        headers = {"Content-Type": "application/json", "Retry-After": "42"}
        self._answer(status, json.dumps(value).encode(), headers=headers)

    def _answer(self, status: int, body: bytes = b"", *, headers: dict, cut: int | None = None):
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body[:cut])
        self.close_connection = cut is not None
        if cut is not None:
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)


def die_at(function: str) -> None:
    """End the process after a hundred calls of `module.function`, as a power cut would."""
    module, _, name = function.rpartition(".")
    owner = importlib.import_module(module)
    real, left = getattr(owner, name), iter(range(100))

    def dying(*args, **kwargs):
        if next(left, None) is None:
            os._exit(9)
        return real(*args, **kwargs)

    setattr(owner, name, dying)


def main() -> None:
    """Run one of the two commands, whose kagglesdk finds Kaggle at the address."""
    from kagglesdk import kaggle_env

    address, *sys.argv = sys.argv[1:]
    kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = address
    if sys.argv[0] == "--dies-at":
        _, function, *sys.argv = sys.argv
        die_at(function)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
