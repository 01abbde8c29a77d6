"""`replicator keys passphrase`: what protects the key files; it is asked for and never shown."""

from pathlib import Path

import click

from replicator.adapters.key_changes import change_passphrase
from replicator.adapters.keyfiles import KeyFiles
from replicator.cli.home import settings_of
from replicator.cli.output import counted, emit, json_option


@click.command()
@json_option
@click.pass_obj
def passphrase(home: Path, *, as_json: bool) -> None:
    """Set, change or remove the passphrase of all key files.

    The present one is the setting key_passphrase; the new one is asked for, an empty one removes
    it. Cut off in the middle, the same command again does the rest.
    """
    settings = settings_of(home)
    files = KeyFiles(settings.keys_folder)
    number = counted(len(files.paths()), "key file")
    click.echo(
        f"{number} in {settings.keys_folder} will be protected by another passphrase. Running\n"
        "processes go on; none starts until the setting key_passphrase\n"
        "(REPLICATOR_KEY_PASSPHRASE) has the new one.",
        err=True,
    )
    text: str = click.prompt(
        "New passphrase (empty: none)",
        default="",
        show_default=False,
        hide_input=True,
        confirmation_prompt=True,
        err=True,
    )
    changed, before = change_passphrase(files, settings.passphrase, text.encode() or None)
    if as_json:
        emit({"changed": changed, "unchanged": before})
    else:
        rest = f", {before} had it already" if before else ""
        click.echo(f"changed {counted(changed, 'key file')}{rest}")
    click.echo("now change the setting key_passphrase", err=True)
