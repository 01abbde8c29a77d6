"""The text of a new node's ``replicator.toml``: every setting, explained, defaults commented out.

Pure. A test takes every comment away and loads the result: no setting is missing, none is wrong.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Final

from replicator.limits import Limits

_EXPLAINED: Final = (
    (
        "database_url",
        '"sqlite:////var/lib/replicator/replicator.db"',
        "Where the posts are. Default: replicator.db in this directory. PostgreSQL:\n"
        "postgresql+psycopg://user@host/name (give a password by REPLICATOR_DATABASE_URL).",
    ),
    (
        "work_url",
        '"redis://127.0.0.1:6379/0"',
        "Redis or Valkey for the work in hand. Not set: `replicator up` runs one of its own.",
    ),
    (
        "broker_url",
        '"amqp://127.0.0.1:5672//"',
        "The broker of Celery's messages, where it is not work_url (RabbitMQ).",
    ),
    (
        "tls_ca",
        '"/etc/replicator/ca.pem"',
        "For rediss:// and amqps://: who signs the certificates of these servers, where the\n"
        "system does not know it. They are always checked.",
    ),
    (
        "tls_certificate",
        '"/etc/replicator/client.pem"',
        "What this node shows to such servers, where they ask for it; tls_key is its key.",
    ),
    ("tls_key", '"/etc/replicator/client-key.pem"', ""),
    (
        "address",
        '"https://node.example:8470"',
        "Where peers reach this node; stands in its signed node document. TLS outside loopback.",
    ),
    (
        "allow_private",
        "false",
        "Whether peers may be called at private, loopback or link-local addresses. Strangers name\n"
        "addresses too: in the internet leave it off. Set by init where address is such a one.",
    ),
    ("gateway_listen", '"127.0.0.1:8470"', "The listener for peers."),
    (
        "local_listen",
        '"127.0.0.1:8471"',
        "The listener for the board application; its token is in the file local-token.",
    ),
    ("flower_listen", '"127.0.0.1:5555"', "Flower; its password is in run/flower-password."),
    (
        "answers_processes",
        "2",
        "Processes that serve the requests of peers; they check signatures: one per core.",
    ),
    ("lanes_threads", "8", "Threads that speak to peers; they mostly wait."),
    (
        "pull",
        '"pool"',
        "Who may pull and get: pool (members of a pool of ours), peers (also peers we know),\n"
        "open (everybody who signs).",
    ),
    ("get", '"pool"', ""),
    ("put", '"pool"', "Who may put: pool or peers."),
    (
        "reconcile",
        '"pool"',
        "Who may compare sets with ours: pool, peers or open (beyond the pool only\n"
        "who may read everything anyway), or off (nobody).",
    ),
    (
        "roster",
        '"auto"',
        "What becomes of members that other members introduce: auto (peers at once), ask (when\n"
        "you agree) or off (nothing, and nobody is introduced).",
    ),
    (
        "keep_days",
        "365",
        "Posts dated longer ago are removed, and never taken again. Not set: all are kept.",
    ),
    (
        "keep_posts_per_origin",
        "1_000_000",
        "Of each node's posts the newest are kept, up to so many, or so many bytes.",
    ),
    ("keep_bytes_per_origin", "10_000_000_000", ""),
    (
        "disk_bytes_max",
        "100_000_000_000",
        "What the database may take; beyond, nothing is published or taken until there is room.",
    ),
    (
        "peer_posts_per_day",
        "100_000",
        "What is taken per day of one peer, and of one origin whoever delivers it, in posts and\n"
        "in bytes; what is over waits for its turn. Not set: no bound.",
    ),
    ("peer_bytes_per_day", "1_000_000_000", ""),
    ("origin_posts_per_day", "10_000", ""),
    ("origin_bytes_per_day", "100_000_000", ""),
    ("log_level", '"info"', "debug, info, warning or error."),
    (
        "key_passphrase",
        '"…"',
        "Protects the key files. Better given as the variable REPLICATOR_KEY_PASSPHRASE.",
    ),
)

_HEAD: Final = """\
# A node of a pool. Every setting can also be given as a variable: REPLICATOR_ and its name in
# capitals; variables win. Lines that are commented out show defaults or examples.

# The name of this node, for good: it is part of the id of every post published here.
node_id = {node_id}
"""

_LIMITS: Final = """
# Bounds of sizes, times and counts, with their defaults; unit last. Change them with care: what
# contradicts each other is refused, and what every node must accept cannot be lowered.
# [limits]
"""


def configuration(node_id: str, given: Mapping[str, str | int]) -> str:
    """Return the text of ``replicator.toml``.

    Args:
        node_id: of the new node.
        given: settings that are set; all others are commented out.
    """
    parts = [_HEAD.format(node_id=_toml(node_id))]
    for name, example, explanation in _EXPLAINED:
        comment = "".join(f"# {line}\n" for line in explanation.splitlines())
        line = f"{name} = {_toml(given[name])}" if name in given else f"# {name} = {example}"
        parts.append(f"{comment and chr(10)}{comment}{line}\n")
    bounds = "".join(f"# {name} = {value}\n" for name, value in asdict(Limits()).items())
    return "".join(parts) + _LIMITS + bounds


def _toml(value: str | int) -> str:
    """Return a TOML integer or basic string: JSON's escapes are a subset of TOML's."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")
