"""What `replicator doctor` finds about keys: how many, and which processes use older ones."""

from collections.abc import Iterator

from replicator.cli import process_tree
from replicator.cli.findings import Finding, Subject
from replicator.cli.output import counted
from replicator.cli.up_state import up_state


def keys(subject: Subject) -> Iterator[Finding]:
    """Check that there is a pool, and that what runs was started after the keys were changed."""
    if subject.node is None:
        return
    identity = subject.node.identity
    text = ", ".join(
        (counted(len(identity.node_keys), "node key"), counted(len(identity.pools), "pool key"))
    )
    if identity.pools:
        yield Finding("keys", "ok", text)
    else:
        advice = "replicator keys pool new, or keys pool import with the pool's key"
        yield Finding("keys", "warn", f"{text}: this node is in no pool", advice)
    old = _older_than_keys(subject)
    if old:
        text = f"the keys were changed after {', '.join(old)} started: they use the ones before"
        yield Finding("keys", "warn", text, "restart the node")


def _older_than_keys(subject: Subject) -> list[str]:
    """Return the processes under `up` that were started before the newest change of the keys."""
    folder = subject.settings.keys_folder
    changed = max(
        (path.stat().st_mtime for path in folder.iterdir() if path.suffix in (".pem", ".json")),
        default=0.0,
    )
    found = []
    for name, pid in up_state(subject.settings.home).children.items():
        if pid is None or name == "valkey":  # it has no keys
            continue
        process = process_tree.look(pid)
        if process is not None and process_tree.started_at(process) < changed:
            found.append(name)
    return found
