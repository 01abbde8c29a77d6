"""`replicator serve`: the gateway in this process."""

from pathlib import Path

import click

from replicator.cli.session import settings_of
from replicator.gateway import server


@click.command()
@click.pass_obj
def serve(home: Path) -> None:
    """Run the gateway: peers on gateway_listen, board applications on local_listen."""
    server.serve(settings_of(home))
