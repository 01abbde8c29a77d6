"""A file of posts is read line by line; what is no post is told with its number."""

import gzip
import io

import pytest

from replicator.cli import post_lines
from replicator.cli.post_lines import opened, read_lines
from replicator.errors import ConfigurationError


def _read(data):
    return list(read_lines(io.BufferedReader(io.BytesIO(data))))


def test_lines_keep_their_numbers_past_empty_ones():
    lines = _read(b'{"id": "a"}\n\n  \n{"id": "b"}')
    assert [(line.number, line.post) for line in lines] == [(1, {"id": "a"}), (4, {"id": "b"})]


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"\xff\xfe{}", "not JSON"),
        (b'{"id": "a", "id": "b"}', "a member stands twice"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_line_that_is_no_post_is_passed_over_with_a_reason(raw, problem):
    bad, good = _read(raw + b'\n{"id": "x"}\n')
    assert (bad.number, bad.post) == (1, None)
    assert problem in bad.problem
    assert good.post == {"id": "x"}


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(post_lines, "LINE_BYTES_MAX", 100)
    bad, good = _read(b'{"text": "' + b"x" * 10_000 + b'"}\n{"id": "x"}\n')
    assert "longer than" in bad.problem
    assert (good.number, good.post) == (2, {"id": "x"})


def test_gzip_is_told_by_its_first_bytes():
    assert [line.post for line in _read(gzip.compress(b'{"id": "a"}\n'))] == [{"id": "a"}]


@pytest.mark.parametrize("damage", ["cut", "changed"])
def test_a_damaged_gzip_file_is_told_and_not_taken_for_its_end(damage):
    data = gzip.compress(b'{"id": "a"}\n' * 5000, mtime=0)
    broken = data[:-8] if damage == "cut" else data[:-8] + bytes(8)
    with pytest.raises(ConfigurationError, match=r"after line \d+"):
        _read(broken)


def test_an_empty_file_holds_no_lines(tmp_path):
    (tmp_path / "empty").touch()
    with opened(str(tmp_path / "empty")) as (source, size):
        assert (size, list(read_lines(source))) == (0, [])
