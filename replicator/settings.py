"""Settings of one node: ``replicator.toml`` in its home, then ``REPLICATOR_*`` variables.

Unknown names are refused with the nearest known one; secrets never appear in a repr. Reading
settings touches only the home's configuration files; nothing is created here.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, get_args
from urllib.parse import quote

from replicator import server_urls
from replicator.errors import ConfigurationError, Malformed
from replicator.limits import Limits
from replicator.node.ports import Keep
from replicator.protocol.ids import INTEGER_MAX, NodeId, parse_node_id
from replicator.rules.policy import Audience, Policy
from replicator.rules.quotas import Quotas

CONFIG_NAME: Final = "replicator.toml"
WORK_URL_NAME: Final = "run/work-url"
NODE_ID_NAME: Final = "node-id"
"""Remembers whose home it is; the first process that opens the node writes it."""
PREFIX: Final = "REPLICATOR_"
_HOME_VARIABLE: Final = "REPLICATOR_HOME"
_TEST_PREFIX: Final = "REPLICATOR_TEST_"
_PORT_MAX: Final = 65_535
_DIGITS_MAX: Final = 18
"""Of a number in a variable: more than any setting may have."""
_SHOWN_CHARS_MAX: Final = 80
"""Of a file whose content is another one than expected."""
_LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_WORK_SCHEMES: Final = ("redis", "rediss", "unix")
_BROKER_SCHEMES: Final = ("redis", "rediss", "redis+socket", "amqp", "amqps", "pyamqp")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What one node runs with.

    Args:
        home: the folder that holds configuration, keys and, by default, the database.
        node_id: this node's id on the wire.
        database_url: SQLAlchemy URL, ``sqlite:///…`` or ``postgresql+psycopg://…``.
        work_url: Redis or Valkey for the work in hand; None until `up` has started one.
        broker_url: Celery's broker; None means ``work_url``.
        tls_ca: file with the certificates that sign those of the servers, where the system's do
            not; ``rediss://`` and ``amqps://`` are always checked, name and all.
        tls_certificate, tls_key: files with what this node shows to these servers, or None.
        gateway_listen, local_listen: ``host:port`` of the sync and of the local listener.
        address: where peers reach this node, or None.
        allow_private: peers may be called at addresses that are not of the internet: private ones,
            loopback and the like.
        answers_processes, lanes_threads: sizes of the two workers.
        flower_listen: ``host:port`` of Flower.
        key_passphrase: protects the key files; None where they have none.
        pull, get, put: who may ask what (see `rules.policy`).
        reconcile: who may compare sets with ours: as above, and ``off``.
        roster: ``auto``, ``ask`` or ``off``: what becomes of members that others introduce.
        keep_days: posts dated longer ago are neither kept nor taken; None: all are.
        keep_posts_per_origin, keep_bytes_per_origin: of each node's posts the newest are kept, up
            to this many, or this many canonical bytes; None: no bound.
        disk_bytes_max: what the database may take; None: what the disk has.
        peer_posts_per_day, peer_bytes_per_day, origin_posts_per_day, origin_bytes_per_day: what is
            taken of one deliverer, and of one origin whoever delivers it; None: no bound.
        log_level: of all processes of this node.
        limits: every bound.
    """

    home: Path
    node_id: NodeId
    database_url: str = field(repr=False)
    work_url: str | None = field(default=None, repr=False)
    broker_url: str | None = field(default=None, repr=False)
    tls_ca: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    gateway_listen: str = "127.0.0.1:8470"
    local_listen: str = "127.0.0.1:8471"
    address: str | None = None
    allow_private: bool = False
    answers_processes: int = 2
    lanes_threads: int = 8
    flower_listen: str = "127.0.0.1:5555"
    key_passphrase: str | None = field(default=None, repr=False)
    pull: str = "pool"
    get: str = "pool"
    put: str = "pool"
    reconcile: str = "pool"
    roster: str = "auto"
    keep_days: int | None = None
    keep_posts_per_origin: int | None = None
    keep_bytes_per_origin: int | None = None
    disk_bytes_max: int | None = None
    peer_posts_per_day: int | None = None
    peer_bytes_per_day: int | None = None
    origin_posts_per_day: int | None = None
    origin_bytes_per_day: int | None = None
    log_level: str = "info"
    limits: Limits = field(default_factory=Limits)

    @property
    def policy(self) -> Policy:
        """The audiences, as the rules take them."""
        chosen = (self.pull, self.get, self.put, self.reconcile, self.roster)
        return Policy(*chosen)  # type: ignore[arg-type]  # checked on load

    @property
    def keep(self) -> Keep:
        """How much of each origin's posts is kept."""
        return Keep(self.keep_posts_per_origin, self.keep_bytes_per_origin)

    @property
    def quotas(self) -> Quotas:
        """How much is taken per day of one deliverer and of one origin."""
        return Quotas(
            self.peer_posts_per_day,
            self.peer_bytes_per_day,
            self.origin_posts_per_day,
            self.origin_bytes_per_day,
        )

    @property
    def broker(self) -> str:
        """The broker's URL: the one set, or the work state's, with how TLS is spoken."""
        if self.broker_url:
            return self._with_tls(self.broker_url)
        return server_urls.as_broker(self.work)

    @property
    def work(self) -> str:
        """The work state's URL, with how TLS is spoken.

        Raises:
            ConfigurationError: none is set, and no embedded one is running.
        """
        if self.work_url is None:
            raise ConfigurationError(
                "no work_url is set and no embedded Valkey is running: start the node with "
                "'replicator up', or set work_url in replicator.toml"
            )
        return self._with_tls(self.work_url)

    def _with_tls(self, url: str) -> str:
        return server_urls.with_tls(url, self.tls_ca, self.tls_certificate, self.tls_key)

    @property
    def passphrase(self) -> bytes | None:
        """What protects the key files, as bytes."""
        return None if self.key_passphrase is None else self.key_passphrase.encode()

    @property
    def keys_folder(self) -> Path:
        """Where the key files are."""
        return self.home / "keys"

    @property
    def node_id_file(self) -> Path:
        """Where the home remembers whose it is."""
        return self.home / NODE_ID_NAME

    @property
    def prefix(self) -> str:
        """What every Redis key of this node begins with."""
        return f"replicator:{self.node_id}:"


def load_settings(home: Path, environ: Mapping[str, str]) -> Settings:
    """Read the settings of the node whose home is ``home``.

    Raises:
        ConfigurationError: no configuration there, an unknown name, or a value that does not fit;
            the message names the file or variable and what to change.
    """
    home = home.resolve()
    path = home / CONFIG_NAME
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{path} is missing: make a node with 'replicator --home {home} init NODE-ID', or "
            "name another home with --home or REPLICATOR_HOME"
        ) from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    limits = table.pop("limits", {})
    values = {name: _checked(name, value, str(path)) for name, value in table.items()}
    values |= _from_environment(environ)
    values.setdefault("database_url", f"sqlite:///{quote(str(home / 'replicator.db'))}")
    if values.get("work_url") is None:
        values["work_url"] = _embedded_work_url(home)
    if "node_id" not in values:
        raise ConfigurationError(f"{path}: node_id is missing")
    values["database_url"] = server_urls.in_home(values["database_url"], home)
    for name in ("tls_ca", "tls_certificate", "tls_key"):
        if values.get(name) is not None:
            values[name] = str(home / values[name])
    return _made(values, limits, home, path)


def _made(values: dict[str, Any], limits: Any, home: Path, path: Path) -> Settings:
    try:
        node_id = parse_node_id(values.pop("node_id"))
        settings = Settings(home=home, node_id=node_id, **values)
        for name, words in _CHOICES.items():
            if getattr(settings, name) not in words:
                raise ConfigurationError(f"{name}: one of {', '.join(words)} is needed")
        _check_forms(settings)
        _check_same_node(settings)
        return replace(settings, limits=_limits(limits))
    except (Malformed, ValueError) as error:
        raise ConfigurationError(f"{path}: {error}") from error


def _check_forms(settings: Settings) -> None:
    """Refuse what every process of the node would only stumble over later, in its own words."""
    for name in ("gateway_listen", "local_listen", "flower_listen"):
        host, _, port = getattr(settings, name).rpartition(":")
        if not host or not (port.isascii() and port.isdigit()) or int(port) > _PORT_MAX:
            raise ConfigurationError(f"{name}: host:port is needed, for example 127.0.0.1:8470")
    if settings.address is not None and not settings.address.startswith(("http://", "https://")):
        raise ConfigurationError("address: a URL is needed, for example https://node.example")
    if settings.log_level not in _LOG_LEVELS:
        raise ConfigurationError(f"log_level: one of {', '.join(_LOG_LEVELS)} is needed")
    server_urls.check("work_url", settings.work_url, _WORK_SCHEMES)
    server_urls.check("broker_url", settings.broker_url, _BROKER_SCHEMES)
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        raise ConfigurationError("tls_certificate and tls_key: one is of no use without the other")


def _check_same_node(settings: Settings) -> None:
    """Refuse another node id in a home whose keys, posts and cursors belong to the one before."""
    path = settings.node_id_file
    try:
        before = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    # empty: another process is just writing it
    if before and before != settings.node_id:
        raise ConfigurationError(
            f"node_id: this home belongs to {before[:_SHOWN_CHARS_MAX]!r}, whose name is part of "
            f"its posts; set that one again, or make {settings.node_id} in another home"
        )


def _limits(table: Any) -> Limits:
    known = {item.name: item.type for item in fields(Limits)}
    if not isinstance(table, dict):
        raise ConfigurationError("limits: a table is needed")
    for name, value in table.items():
        if name not in known:
            raise ConfigurationError(_unknown(f"limits.{name}", name, known))
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ConfigurationError(f"limits.{name}: a number above 0 is needed")
        if known[name] is int and not isinstance(value, int):
            raise ConfigurationError(f"limits.{name}: a whole number is needed")
    return Limits(**table)


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable.startswith(_TEST_PREFIX):
            continue
        if variable == _HOME_VARIABLE:
            continue
        name = variable.removeprefix(PREFIX).lower()
        values[name] = _checked(name, _converted(name, text, variable), variable)
    return values


_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {
    "pull": get_args(Audience),
    "get": get_args(Audience),
    "put": ("pool", "peers"),
    "reconcile": ("pool", "peers", "open", "off"),
    "roster": ("auto", "ask", "off"),
}
"""Words that a setting of the policy may have."""

_FROM_1: Final[Mapping[str, int]] = {
    "answers_processes": 256,
    "lanes_threads": 256,
    "keep_days": 36_500,
    "keep_posts_per_origin": INTEGER_MAX,
    "keep_bytes_per_origin": INTEGER_MAX,
    "disk_bytes_max": INTEGER_MAX,
    "peer_posts_per_day": INTEGER_MAX,
    "peer_bytes_per_day": INTEGER_MAX,
    "origin_posts_per_day": INTEGER_MAX,
    "origin_bytes_per_day": INTEGER_MAX,
}
"""Whole numbers from 1 on, with the largest that makes sense."""

_TYPES: Final[dict[str, type[str] | type[int] | type[bool]]] = {
    "node_id": str,
    "database_url": str,
    "work_url": str,
    "broker_url": str,
    "tls_ca": str,
    "tls_certificate": str,
    "tls_key": str,
    "gateway_listen": str,
    "local_listen": str,
    "address": str,
    "allow_private": bool,
    "answers_processes": int,
    "lanes_threads": int,
    "flower_listen": str,
    "key_passphrase": str,
    "pull": str,
    "get": str,
    "put": str,
    "reconcile": str,
    "roster": str,
    "keep_days": int,
    "keep_posts_per_origin": int,
    "keep_bytes_per_origin": int,
    "disk_bytes_max": int,
    "peer_posts_per_day": int,
    "peer_bytes_per_day": int,
    "origin_posts_per_day": int,
    "origin_bytes_per_day": int,
    "log_level": str,
}
"""Names an operator may set, with their types (``home`` is where the file stands)."""


_KINDS: Final = {
    str: "text in quotes",
    int: "a whole number, without quotes",
    bool: "true or false, without quotes",
}


def _converted(name: str, text: str, variable: str) -> Any:
    kind = _TYPES.get(name, str)
    if kind is int:
        if not text.isascii() or not text.isdigit() or len(text) > _DIGITS_MAX:
            raise ConfigurationError(f"{variable}: a whole number is needed")
        return int(text)
    if kind is bool:
        if text not in ("true", "false"):
            raise ConfigurationError(f"{variable}: true or false is needed")
        return text == "true"
    return text


def _checked(name: str, value: Any, source: str) -> Any:
    if name not in _TYPES:
        raise ConfigurationError(f"{source}: {_unknown(name, name, _TYPES)}")
    if type(value) is not _TYPES[name]:
        raise ConfigurationError(f"{source}: {name} must be {_KINDS[_TYPES[name]]}")
    if type(value) is int and not 1 <= value <= _FROM_1[name]:
        optional = name.startswith(("keep_", "disk_")) or name.endswith("_per_day")
        hint = "; leave it out for no bound" if optional else ""
        raise ConfigurationError(f"{source}: {name} must be from 1 to {_FROM_1[name]}{hint}")
    return value


def _unknown(shown: str, name: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown setting {shown!r}{hint}"


def _embedded_work_url(home: Path) -> str | None:
    """Return the URL that `up` left for the other processes of the node, if it runs one."""
    try:
        return (home / WORK_URL_NAME).read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigurationError(f"{home / WORK_URL_NAME} cannot be read: {error}") from error
