"""How every store keeps the keys pinned for nodes, and what nodes announced of theirs."""

from dataclasses import replace

from replicator.node.ports import Pin, Store
from tests.support.posts import HERE, NODE_KEY, OTHER_POOL, POOL, THERE, key

pytest_plugins = ["tests.support.store_fixtures"]

NEXT = key("the next one")
STRANGE = key("a stranger's")


def announced(*pins: Pin) -> tuple[Pin, ...]:
    """Return pins in the order in which a store gives them."""
    return tuple(sorted(pins, key=lambda pin: (pin.state != "current", pin.pinned_at, pin.key)))


ROTATED = announced(
    Pin(NODE_KEY, "current", 1, "pool", until=9_000),
    Pin(NEXT, "current", 2, "announcement"),
    Pin(STRANGE, "revoked", 2, "announcement"),
)


def test_what_a_node_announced_takes_the_place_of_all_its_pins_with_its_serial(
    store: Store,
) -> None:
    store.pin(THERE, [NODE_KEY, key("dropped")], "pool", now=1)
    store.pin(HERE, [POOL], "pool", now=1)
    assert store.key_serial(THERE) == 0
    assert store.announce(THERE, store.pins(THERE), ROTATED, 3)
    assert store.pins(THERE) == ROTATED
    assert (store.key_serial(THERE), store.key_serial(HERE)) == (3, 0)
    assert store.all_pins([HERE, THERE]) == {HERE: store.pins(HERE), THERE: ROTATED}
    assert [pin.key for pin in store.pins(HERE)] == [POOL]


def test_the_nodes_that_a_key_is_pinned_for_are_found_whatever_its_state(store: Store) -> None:
    assert store.pinned_under(NODE_KEY) == []
    store.add_peer(THERE, None, 1)
    store.pin(THERE, [NODE_KEY], "pool", now=1)
    store.pin(HERE, [NODE_KEY, NEXT], "pool", now=1)
    assert store.pinned_under(NODE_KEY) == sorted([HERE, THERE])
    assert store.pinned_under(NEXT) == [HERE]
    store.repin(HERE, [NEXT], now=2, revoke=True)
    assert store.pinned_under(NODE_KEY) == sorted([HERE, THERE])
    store.forget_peer(THERE)
    assert THERE not in store.pinned_under(NEXT)
    assert store.pinned_under(STRANGE) == []


def test_an_announcement_counts_once_and_only_forwards(store: Store) -> None:
    store.pin(THERE, [NODE_KEY], "pool", now=1)
    assert store.announce(THERE, store.pins(THERE), ROTATED, 3)
    other = announced(Pin(OTHER_POOL, "current", 5, "announcement"))
    for serial in (3, 2, 0):
        assert not store.announce(THERE, store.pins(THERE), other, serial)
        assert (store.pins(THERE), store.key_serial(THERE)) == (ROTATED, 3)
    assert store.announce(THERE, store.pins(THERE), other, 2**53 - 1)
    assert (store.pins(THERE), store.key_serial(THERE)) == (other, 2**53 - 1)


def test_nothing_announced_reaches_a_node_without_pins(store: Store) -> None:
    assert not store.announce(THERE, (), ROTATED, 1)
    assert (store.pins(THERE), store.key_serial(THERE)) == ((), 0)


def test_the_operators_word_in_the_meantime_goes_before_what_was_announced(store: Store) -> None:
    store.pin(THERE, [NODE_KEY], "pool", now=1)
    before = store.pins(THERE)
    store.repin(THERE, [STRANGE], now=2)
    assert not store.announce(THERE, before, ROTATED, 1)
    changed = [replace(pin, until=5) for pin in store.pins(THERE)]
    assert not store.announce(THERE, changed, ROTATED, 1)
    assert [pin.key for pin in store.pins(THERE) if pin.state == "current"] == [STRANGE]


def test_after_the_operators_word_every_serial_counts_again(store: Store) -> None:
    store.pin(THERE, [NODE_KEY], "pool", now=1)
    assert store.announce(THERE, store.pins(THERE), ROTATED, 7)
    store.repin(THERE, [STRANGE], now=3)
    assert store.key_serial(THERE) == 0
    assert {(pin.key, pin.state, pin.until) for pin in store.pins(THERE)} == {
        (STRANGE, "current", None),
        (NODE_KEY, "retired", None),
        (NEXT, "retired", None),
    }
    assert store.announce(THERE, store.pins(THERE), ROTATED, 1)
    assert (store.pins(THERE), store.key_serial(THERE)) == (ROTATED, 1)


def test_a_forgotten_node_leaves_no_serial_behind(store: Store) -> None:
    store.pin(THERE, [NODE_KEY], "pool", now=1)
    assert store.announce(THERE, store.pins(THERE), ROTATED, 7)
    assert store.forget_peer(THERE)
    assert (store.pins(THERE), store.key_serial(THERE)) == (
        tuple(pin for pin in ROTATED if pin.state == "revoked"),
        0,
    )
    assert store.pin(THERE, [NODE_KEY], "pool", now=8)
    assert store.announce(THERE, store.pins(THERE), ROTATED, 1)


def test_the_operator_can_revoke_all_keys_but_those_he_names(store: Store) -> None:
    store.pin(THERE, [NODE_KEY], "pool", now=1)
    assert store.announce(THERE, store.pins(THERE), (*ROTATED, Pin(POOL, "retired", 2, "x")), 7)
    for _ in range(2):
        store.repin(THERE, [OTHER_POOL], now=3, revoke=True)
        assert {(pin.key, pin.state, pin.until) for pin in store.pins(THERE)} == {
            (OTHER_POOL, "current", None),
            (NODE_KEY, "revoked", None),
            (NEXT, "revoked", None),
            (STRANGE, "revoked", None),
            (POOL, "revoked", None),
        }


def test_a_revoked_key_stays_revoked_when_its_node_is_forgotten(store: Store) -> None:
    store.add_peer(THERE, None, now=1)
    store.pin(THERE, [key("old")], "address", 1)
    store.repin(THERE, [key("new")], 2, revoke=True)
    assert store.forget_peer(THERE)
    (left,) = store.pins(THERE)
    assert (left.key, left.state) == (key("old"), "revoked")
    assert not store.forget_peer(THERE)
    assert not store.pin(THERE, [key("old")], "pool", 3)
    assert store.pin(THERE, [key("old"), key("another")], "pool", 4)
    assert {pin.key: pin.state for pin in store.pins(THERE)} == {
        key("old"): "revoked",
        key("another"): "current",
    }
