"""The server as the work state sees it: plain commands, and the Lua scripts, one per operation.

A script whose first line is ``-- uses: NAME`` gets that file put before it; such a file holds
local functions only. Files are read when a `Server` is made, not at import. Nothing else here
knows redis-py.
"""

from collections.abc import Callable, Sequence
from importlib.resources import files
from typing import Any, Final

from replicator.adapters.redis.connection import connect, translated

Argument = str | bytes | int

_USES: Final = "-- uses: "
_NAMES: Final = (
    "admit",
    "charge",
    "dead",
    "drop",
    "drop_malformed",
    "forget",
    "hasten",
    "hold",
    "lease",
    "note_refusal",
    "queued",
    "release",
    "reply",
    "requeue",
    "ring",
    "set_breaker",
    "note_look",
    "set_dues",
    "take_looks",
    "settle",
    "want",
)


def source(name: str) -> str:
    """Return the text of one script with what it uses before it."""
    folder = files("replicator.adapters.redis").joinpath("lua")
    text = folder.joinpath(f"{name}.lua").read_text("utf-8")
    first = text.partition("\n")[0]
    if not first.startswith(_USES):
        return text
    return folder.joinpath(f"{first.removeprefix(_USES)}.lua").read_text("utf-8") + text


class Server:
    """One server or primary; safe to share between threads.

    Args:
        url: where it is; nothing is sent before the first call.
    """

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._execute: Callable[..., Any] = self._client.execute_command
        self._scripts = {name: self._client.register_script(source(name)) for name in _NAMES}

    def command(self, name: str, *args: Argument) -> Any:
        """Run one command, once; raise `WorkUnavailable` where its fate is in doubt.

        Returns:
            What the server answered; texts as bytes. (redis-py types every answer as either of
            its decoding modes, so callers say what they expect.)
        """
        with translated():
            return self._execute(name, *args)

    def run(self, name: str, keys: Sequence[str], args: Sequence[Argument] = ()) -> Any:
        """Run one script atomically, in one round trip; errors and answer as of `command`.

        A script that the server has forgotten is loaded and run again: it has not run before.
        """
        with translated():
            return self._scripts[name](keys=keys, args=args)

    def close(self) -> None:
        """Close all connections; the next call opens new ones."""
        self._client.close()
        self._client.connection_pool.disconnect()
