"""The command line as a whole: quick help, one line per error, no secrets."""

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from replicator.cli.root import COMMANDS, root


def _commands():
    context = click.Context(root)
    return {name: root.get_command(context, name) for name in COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_worth_reading(name):
    command = _commands()[name]
    assert command.help
    assert len(command.help) > 20
    result = CliRunner().invoke(root, [name, "--help"])
    assert result.exit_code == 0


def _walk(command, path):
    yield path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(click.Context(command)):
            yield from _walk(command.get_command(click.Context(command), name), [*path, name])


def test_every_option_explains_itself_or_shows_its_default():
    for name, command in _commands().items():
        for path, one in _walk(command, [name]):
            for parameter in one.params:
                if isinstance(parameter, click.Option):
                    assert parameter.help or parameter.show_default, (path, parameter.name)


def test_help_imports_no_command():
    script = (
        "import sys; from replicator.cli.root import root\n"
        "try: root.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in"
        " ('sqlalchemy', 'redis', 'kombu', 'rich', 'cryptography')))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_a_missing_home_is_one_line_and_exit_1(tmp_path):
    result = CliRunner().invoke(root, ["--home", str(tmp_path), "status"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "replicator.toml is missing" in result.stderr
    assert result.stdout == ""


def test_a_wrong_command_line_is_exit_2():
    assert CliRunner().invoke(root, ["publish"]).exit_code == 2
    assert CliRunner().invoke(root, ["worker", "all"]).exit_code == 2
    assert CliRunner().invoke(root, ["nothing"]).exit_code == 2
