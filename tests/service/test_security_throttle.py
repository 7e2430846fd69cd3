from __future__ import annotations

from mammosono.appliance.security.throttle import (
    FORGET_S,
    FREE,
    LONGEST_S,
    MOST_ADDRESSES,
    Throttle,
)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_waits_double_up_to_the_longest() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    assert [throttle.failed("a") for _ in range(FREE)] == [0.0] * FREE
    waits = []
    for _ in range(12):
        assert throttle.failed("a") == 0.0  # this one is looked at, and the next must wait
        waits.append(throttle.failed("a"))
        clock.now += waits[-1]
    assert waits[:5] == [1, 2, 4, 8, 16]
    assert waits[-3:] == [LONGEST_S] * 3


def test_trying_while_one_has_to_wait_makes_it_neither_longer_nor_shorter() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(FREE + 3):
        throttle.failed("a")
        clock.now += 0 if _ < FREE else 4
    clock.now -= 1
    assert [throttle.failed("a") for _ in range(50)] == [1.0] * 50


def test_one_address_does_not_wait_for_another() -> None:
    throttle = Throttle(Clock())
    for _ in range(FREE + 2):
        throttle.failed("10.0.0.1")
    assert throttle.failed("10.0.0.1") > 0
    assert throttle.failed("10.0.0.2") == 0


def test_the_addresses_of_one_ipv6_network_are_one_client() -> None:
    throttle = Throttle(Clock())
    for number in range(FREE + 1):
        throttle.failed(f"2001:db8::{number:x}")
    assert throttle.failed("2001:db8::ffff") > 0
    assert throttle.failed("2001:db8:0:1::1") == 0


def test_after_a_while_an_address_begins_anew() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    for _ in range(FREE + 1):
        throttle.failed("a")
    clock.now += 1 + FORGET_S + 1
    assert [throttle.failed("a") for _ in range(FREE)] == [0.0] * FREE


def test_no_number_of_addresses_takes_more_memory() -> None:
    throttle = Throttle(Clock())
    for number in range(3 * MOST_ADDRESSES):
        throttle.failed(f"client {number}")
    assert len(throttle) == MOST_ADDRESSES
