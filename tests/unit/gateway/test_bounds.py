"""Rates and room: refused when they are used up, given back when they are free again."""

import pytest

from replicator.errors import ErrorCode, Refusal
from replicator.gateway.bounds import (
    AddressRates,
    InFlight,
    Part,
    Room,
    address_group,
    shared_room,
)


def refusal_of(call, *args) -> Refusal:
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value


def test_an_address_may_burst_and_then_gets_its_rate():
    rates = AddressRates(per_second=2.0, burst=3, names_max=10)
    for _ in range(3):
        rates.take("a", 0.0)
    refusal = refusal_of(rates.take, "a", 0.0)
    assert refusal.code is ErrorCode.BUSY
    assert refusal.retry_after == 1
    rates.take("a", 0.5)
    refusal_of(rates.take, "a", 0.5)


def test_addresses_do_not_spend_each_others_tokens():
    rates = AddressRates(per_second=1.0, burst=1, names_max=10)
    rates.take("a", 0.0)
    rates.take("b", 0.0)
    refusal_of(rates.take, "a", 0.0)


def test_a_quiet_time_refills_no_more_than_the_burst():
    rates = AddressRates(per_second=100.0, burst=2, names_max=10)
    rates.take("a", 0.0)
    for _ in range(2):
        rates.take("a", 1_000_000.0)
    refusal_of(rates.take, "a", 1_000_000.0)


def test_no_more_addresses_are_remembered_than_allowed_and_the_longest_unseen_goes_first():
    rates = AddressRates(per_second=0.001, burst=1, names_max=2)
    rates.take("a", 0.0)
    rates.take("b", 0.0)
    refusal_of(rates.take, "a", 0.0)  # a is seen again, so b is forgotten for c
    rates.take("c", 0.0)
    assert len(rates) == 2
    refusal_of(rates.take, "a", 0.0)
    rates.take("b", 0.0)


@pytest.mark.parametrize(
    ("host", "group"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("no address", "no address"),
    ],
)
def test_an_ipv6_host_is_as_wide_as_its_network(host, group):
    assert address_group(host) == group


def test_requests_past_the_bound_are_refused_and_a_leaving_one_makes_room():
    in_flight = InFlight(requests_max=1, bytes_max=10)
    with in_flight.enter():
        refusal = refusal_of(in_flight.enter().__enter__)
        assert refusal.code is ErrorCode.BUSY
    with in_flight.enter():
        assert in_flight.open.total == 1


def test_bytes_past_the_bound_are_refused_and_all_of_them_are_given_back():
    in_flight = InFlight(requests_max=5, bytes_max=10)
    with in_flight.enter() as hold:
        hold.grow(7)
        refusal_of(hold.grow, 4)
        assert in_flight.bytes.total == 7
    assert (in_flight.open.total, in_flight.bytes.total) == (0, 0)


def test_an_address_has_its_share_of_a_room_and_others_have_theirs():
    room = shared_room(8, 0.25)
    assert [room.take("a") for _ in range(3)] == [True, True, False]
    assert room.take("b", 2)
    assert not room.take("c", 3)
    assert room.total == 4


def test_all_addresses_together_have_no_more_than_there_is():
    room = shared_room(3, 0.5)
    assert [room.take(address) for address in "abcd"] == [True, True, True, False]


def test_only_addresses_that_have_something_are_remembered():
    room = Room(None, 2)
    for number in range(100):
        assert room.take(f"address {number}")
    for number in range(100):
        room.give_back(f"address {number}")
    assert (len(room), room.total) == (0, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_proxy_on_this_machine_may_have_all_there_is(host):
    room = shared_room(8, 0.25)
    assert room.take(address_group(host), 8)
    assert not room.take(address_group(host))


@pytest.mark.parametrize("host", ["127.0.0.2", "::2:0:0:0:1", "10.0.0.1"])
def test_no_other_address_is_taken_for_one(host):
    assert not shared_room(8, 0.25).take(address_group(host), 8)


def test_a_part_that_does_not_fit_stays_as_it_was():
    room = Room(10, 10)
    part = Part(room, "a")
    assert part.set(7)
    assert not part.set(11)
    assert (part.amount, room.total) == (7, 7)
    assert part.set(3)
    assert room.total == 3


def test_a_request_that_arrives_takes_no_place_of_a_complete_one():
    in_flight = InFlight(requests_max=1, bytes_max=10)
    with in_flight.arrive() as first, in_flight.arrive("b") as second:
        assert (in_flight.arriving.total, in_flight.open.total) == (2, 0)
        first.complete()
        first.complete()
        assert (in_flight.arriving.total, in_flight.open.total) == (1, 1)
        assert refusal_of(second.complete).code is ErrorCode.BUSY
        assert refusal_of(in_flight.arrive().__enter__).code is ErrorCode.BUSY
    assert (in_flight.arriving.total, in_flight.open.total) == (0, 0)


def test_one_address_has_only_so_many_requests_arriving():
    in_flight = InFlight(requests_max=4, bytes_max=40, share=0.25)
    with in_flight.arrive("a"):
        assert refusal_of(in_flight.arrive("a").__enter__).code is ErrorCode.BUSY
        with in_flight.arrive("b") as hold:
            assert refusal_of(hold.grow, 11).code is ErrorCode.BUSY
            hold.grow(10)
