"""A board application as a test plays it: publishes through the local API, follows the change log.

Both go on whatever dies: a request that got no answer is sent again with the same ids or the same
cursor, which is what the API is made for. `Board.acknowledged` and `Follower.seen` say what the
node promised and what the application was given.
"""

import http.client
import json
import threading
import time
from collections import Counter
from typing import Any

from replicator.cli.demo_node import Site
from replicator.cli.founding import TOKEN_FILE


class LocalApi:
    """One connection to a node's local API, opened anew after every failure."""

    def __init__(self, site: Site, seconds: float = 15.0) -> None:
        self._site = site
        self._seconds = seconds
        self._token = (site.home / TOKEN_FILE).read_text(encoding="ascii").strip()
        self._connection: http.client.HTTPConnection | None = None

    def call(
        self, method: str, path: str, body: object = None
    ) -> tuple[int, dict[str, Any]] | None:
        """Return status and document, or None where there was no complete answer."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection(
                "127.0.0.1", self._site.local_port, timeout=self._seconds
            )
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        try:
            data = None if body is None else json.dumps(body).encode()
            self._connection.request(method, path, data, headers)
            answer = self._connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            self.close()
            return None

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Loop:
    """Something that runs in a thread of its own until it is told to stop."""

    def __init__(self, site: Site) -> None:
        self._api = LocalApi(site)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, and raise what went wrong in the thread, if anything did."""
        self._ended.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self._api.close()
        if self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self.step()
        except BaseException as error:
            self.failure = error

    def step(self) -> None:
        """Do one round."""
        raise NotImplementedError


class Board(_Loop):
    """Publishes small batches one after the other; a batch is repeated until it is answered."""

    def __init__(self, site: Site, batch: int = 5, pause_seconds: float = 0.05) -> None:
        super().__init__(site)
        self._batch = batch
        self._pause_seconds = pause_seconds
        self._next = 0
        self.acknowledged: list[str] = []
        self.repeats = 0

    def step(self) -> None:
        """Publish one batch until it is acknowledged, or the board is told to stop."""
        posts = [
            {"id": f"p{number}", "text": f"post {number}", "published": 1_700_000_000_000 + number}
            for number in range(self._next, self._next + self._batch)
        ]
        while not self._ended.is_set():
            answer = self._api.call("POST", "/local/v1/posts", {"posts": posts})
            if answer is not None and answer[0] == 200:
                assert {r["status"] for r in answer[1]["results"]} <= {"stored", "known"}
                self.acknowledged += [result["digest"] for result in answer[1]["results"]]
                self._next += self._batch
                break
            assert answer is None or answer[0] == 503, answer
            self.repeats += 1
            time.sleep(self._pause_seconds)
        time.sleep(self._pause_seconds)


class Follower(_Loop):
    """Follows a node's change log by cursor, counting how often it is given each post."""

    def __init__(self, site: Site) -> None:
        super().__init__(site)
        self._cursor: str | None = None
        self.seen: Counter[str] = Counter()
        self.repeats = 0

    def step(self) -> None:
        """Ask for what comes after the cursor; the cursor moves with a complete answer only."""
        after = "" if self._cursor is None else f"&after={self._cursor}"
        answer = self._api.call("GET", f"/local/v1/changes?wait=1&limit=500{after}")
        if answer is None or answer[0] == 503:
            self.repeats += 1
            time.sleep(0.05)
            return
        assert answer[0] == 200, answer
        self.seen.update(change["digest"] for change in answer[1]["changes"])
        self._cursor = answer[1]["cursor"]
