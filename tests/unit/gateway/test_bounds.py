"""Rates and room: refused when they are used up, given back when they are free again."""

import pytest

from replicator.errors import ErrorCode, Refusal
from replicator.gateway.bounds import AddressRates, InFlight, address_group


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
        assert in_flight.requests == 1


def test_bytes_past_the_bound_are_refused_and_all_of_them_are_given_back():
    in_flight = InFlight(requests_max=5, bytes_max=10)
    with in_flight.enter() as hold:
        hold.grow(7)
        refusal_of(hold.grow, 4)
        assert in_flight.size == 7
    assert (in_flight.requests, in_flight.size) == (0, 0)
