"""A local S3 server in a process of its own, which counts requests, and stores that are copied to it."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

BUCKET = "library"
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}
START = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"


class S3Server:
    """Use as a context manager. `requests` counts what was asked for since `clear`."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "requests.log"

    def __enter__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.endpoint = f"http://127.0.0.1:{port}"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", START, str(port)],
                stdout=log,
                stderr=log,
                env={**os.environ, **KEYS},
            )
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{self.endpoint}/moto-api/", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{BUCKET}", b"", method="PUT")).close()
        return self

    def __exit__(self, *error):
        self.process.terminate()
        self.process.wait()

    def environment(self) -> dict[str, str]:
        return {**KEYS, "AWS_ENDPOINT_URL": self.endpoint}

    def copy(self, store: Path, name: str) -> str:
        """Copies a store to the bucket. Returns its address."""
        import obstore
        from obstore.store import S3Store

        keys = {"access_key_id": KEYS["AWS_ACCESS_KEY_ID"], "secret_access_key": KEYS["AWS_SECRET_ACCESS_KEY"]}
        client = S3Store(
            BUCKET, prefix=name, endpoint=self.endpoint, region="us-east-1", client_options={"allow_http": True}, **keys
        )
        for file in store.rglob("*"):
            if file.is_file():
                obstore.put(client, str(file.relative_to(store)), file.read_bytes())
        return f"s3://{BUCKET}/{name}"

    def clear(self) -> None:
        self.log.write_text("")

    @property
    def requests(self) -> list[str]:
        """The lines of requests for objects and lists."""
        return re.findall(rf'"(?:GET|HEAD) /{BUCKET}\S*', self.log.read_text())
