"""What the documents and messages tell people to type can be typed, and what they name exists."""

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from replicator.cli.root import root
from replicator.limits import Limits
from replicator.settings import Settings

PROJECT = Path(__file__).parents[3]
PAGES = ("README.md", "deploy/README.md", "CONTRIBUTING.md", "CHANGELOG.md", "replicator/README.md")
FILES = ("pool.pem", "posts.jsonl", "posts.jsonl.gz")
PLACEHOLDERS = {"COMMAND": "status", "KIND": "lanes"}


def _in_page(page):
    """Return the command lines of a page: fenced lines, and code spans that begin with the name."""
    fences = re.findall(r"^```\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    lines = [line for fence in fences for line in fence.splitlines()]
    spans = re.findall(r"`(replicator [^`]+)`", re.sub(r"^```.*?^```", "", page, flags=re.S | re.M))
    return [line for line in [*lines, *spans] if line.startswith("replicator ")]


def _in_source(text):
    """Return the command lines that messages and docstrings quote."""
    return re.findall(r"[`'](replicator (?:--home|[a-z])[^`'\n]*)[`']", text)


def _in_help():
    lines = [line.strip() for line in root.help.splitlines()]
    return [line for line in lines if line.startswith("replicator ")]


def _all_lines():
    for name in PAGES:
        yield from ((name, line) for line in _in_page((PROJECT / name).read_text()))
    for path in sorted((PROJECT / "replicator").rglob("*.py")):
        yield from ((path.name, line) for line in _in_source(path.read_text()))
    yield from (("replicator --help", line) for line in _in_help())


LINES = sorted(set(_all_lines()))


def test_command_lines_are_found_where_they_are_known_to_stand():
    sources = {source for source, _ in LINES}
    assert {"README.md", "deploy/README.md", "settings.py", "replicator --help"} <= sources


@pytest.mark.parametrize(("source", "line"), LINES)
def test_every_command_line_that_people_are_told_to_type_is_understood(
    source, line, tmp_path, monkeypatch
):
    # Parsed by click down to the last argument; what the command would do is left out.
    understood = []
    monkeypatch.setattr(
        click.Command, "invoke", lambda _, context: understood.append(context.info_name)
    )
    monkeypatch.chdir(tmp_path)
    for name in FILES:
        Path(name).write_bytes(b"")
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line, comments=True)[1:]]
    if source.endswith(".py"):
        words.append("--help")  # a message may name a command without all it takes
    result = CliRunner().invoke(root, words)
    assert result.exit_code == 0, (source, result.output)
    assert understood or "--help" in words


@pytest.mark.parametrize("line", ["replicator init --node-id a.b", "replicator keys pool copy"])
def test_a_command_line_that_does_not_exist_would_be_noticed(line):
    assert CliRunner().invoke(root, shlex.split(line)[1:]).exit_code == 2


@pytest.mark.parametrize("name", ["README.md", "deploy/README.md"])
def test_settings_and_limits_that_a_page_names_exist(name):
    spans = re.findall(r"`([a-z]+(?:_[a-z]+)+)`", (PROJECT / name).read_text())
    known = {*Settings.__dataclass_fields__, *Limits.__dataclass_fields__}
    assert spans
    assert set(spans) <= known


def test_the_table_of_settings_tells_the_defaults():
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", (PROJECT / "README.md").read_text(), re.MULTILINE)
    told = dict(rows)
    fields = Settings.__dataclass_fields__
    for name in ("gateway_listen", "local_listen"):
        assert told[f"`{name}`"] == f"`{fields[name].default}`"
    assert told["`pull`, `get`, `put`"] == "`pool`"
    assert {fields[name].default for name in ("pull", "get", "put")} == {"pool"}
    sizes = [fields[name].default for name in ("answers_processes", "lanes_threads")]
    assert told["`answers_processes`, `lanes_threads`"] == ", ".join(map(str, sizes))


def test_a_pause_is_nowhere_said_to_keep_a_peer_out():
    runbook = " ".join((PROJECT / "deploy/README.md").read_text().split())
    assert "nor does `pause`: that stops our own calls only" in runbook
    helped = CliRunner().invoke(root, ["posts", "block", "--help"]).stdout
    assert "does not change that: it stops this node's own calls" in " ".join(helped.split())
