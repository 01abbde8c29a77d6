"""Query parameters are read strictly: what is not understood is refused, never ignored."""

import pytest

from replicator.gateway.local_errors import ApiError
from replicator.gateway.local_query import read_selection
from replicator.protocol.ids import INTEGER_MAX
from replicator.protocol.messages import Filter


def select(*pairs, wait_max=None):
    return read_selection(pairs, limit_max=500, wait_max=wait_max)


def test_without_parameters_everything_is_asked_for_from_the_start():
    selection = select()
    assert (selection.filter, selection.after, selection.limit, selection.wait) == (
        None,
        None,
        100,
        0,
    )


def test_lists_are_given_by_repeating():
    selection = select(("tags", "a,b"), ("tags", "c"), ("nodes", "n.example"))
    assert selection.filter == Filter(tags=("a,b", "c"), nodes=("n.example",))


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:01Z", 1000),
        ("1970-01-01T01:00:01.5+01:00", 1500),
        ("1970-01-01T01:00:01 01:00", 1000),  # "+" as a form decodes it
        (str(INTEGER_MAX), INTEGER_MAX),
    ],
)
def test_a_time_is_read(text, ms):
    assert select(("since", text)).filter == Filter(since=ms)


@pytest.mark.parametrize(
    "pair",
    [
        ("since", "yesterday"),
        ("since", "2024-01-01T00:00:00"),
        ("since", "1969-01-01T00:00:00Z"),
        ("since", str(INTEGER_MAX + 1)),
        ("since", "-1"),
        ("since", "\uff11"),
        ("limit", "0"),
        ("limit", "501"),
        ("limit", "1.5"),
        ("limit", ""),
        ("after", "no cursor!"),
        ("after", ""),
        ("nodes", "Not A Node"),
        ("threads", "no-slash"),
        ("wait", "1"),
        ("tagz", "a"),
        ("x" * 1000, "a"),
    ],
)
def test_what_is_not_understood_is_refused_by_name(pair):
    with pytest.raises(ApiError) as caught:
        select(pair)
    assert caught.value.status == 400
    assert caught.value.field == pair[0][:40]


def test_single_parameters_stand_once():
    with pytest.raises(ApiError):
        select(("limit", "1"), ("limit", "2"))


def test_nodes_and_except_nodes_exclude_each_other():
    with pytest.raises(ApiError):
        select(("nodes", "a"), ("except_nodes", "b"))


def test_too_many_names_are_refused():
    with pytest.raises(ApiError):
        select(*[("tags", str(number)) for number in range(101)])


def test_a_wait_is_bounded_where_there_is_one():
    assert select(("wait", "55"), wait_max=55.0).wait == 55
    with pytest.raises(ApiError):
        select(("wait", "56"), wait_max=55.0)
