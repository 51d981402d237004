"""Atomics, bit operations and exchanges on words in RAM."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpus import atomic_cy, bitops_cy
from cpus.atomic_cy import (
    atomic_add,
    atomic_add_negative,
    atomic_add_return,
    atomic_dec,
    atomic_dec_and_test,
    atomic_dec_return,
    atomic_inc,
    atomic_inc_and_test,
    atomic_inc_return,
    atomic_read,
    atomic_set,
    atomic_sub,
    atomic_sub_and_test,
    atomic_sub_return,
    cmpxchg,
    xchg,
)
from cpus.errors import NullDereference, Oops
from cpus.handle_cy import Handle
from tests.support import in_child, small_machine

V = 0xC0010000
ints = st.integers(-(2**31), 2**31 - 1)


@pytest.fixture(scope="module", autouse=True)
def machine():
    small_machine(ram_bytes=1 << 20, cpus=2)


def as_int(value):
    return (value + 2**31) % 2**32 - 2**31


@given(ints, ints)
def test_arithmetic_is_that_of_a_c_int(start, i):
    atomic_set(V, start)
    assert atomic_add(i, V) is None and atomic_read(V) == as_int(start + i)
    assert atomic_sub(i, V) is None and atomic_read(V) == start
    assert atomic_add_return(i, V) == as_int(start + i)
    assert atomic_sub_return(i, V) == start
    assert atomic_add_negative(i, V) == (as_int(start + i) < 0)
    assert atomic_sub_and_test(i, V) == (start == 0)
    assert atomic_inc_return(V) == as_int(start + 1)
    assert atomic_dec_return(V) == start


def test_the_tests_are_of_the_new_value():
    atomic_set(Handle(V), -1)
    assert atomic_inc_and_test(V) is True
    atomic_inc(Handle(V))
    assert atomic_dec_and_test(V) is True
    atomic_dec(V)
    assert atomic_dec_and_test(V) is False
    assert atomic_read(V) == -2
    atomic_set(V, 2**32 + 5)
    assert atomic_read(V) == 5


def test_exchanges_return_what_was_there():
    atomic_set(V, 7)
    atomic_set(V + 4, 1)
    assert xchg(V, -1) == 7 and atomic_read(V) == -1
    assert cmpxchg(V, 5, 6) == 0xFFFFFFFF
    assert cmpxchg(V, -1, Handle(0xC0000000), 4) == 0xFFFFFFFF
    assert xchg(V, 0xAB, 1) == 0 and xchg(V, 0, 2) == 0xAB
    assert xchg(V, 0, 8) == 0x1C0000000
    with pytest.raises(ValueError, match="3 bytes"):
        xchg(V, 0, 3)


@pytest.mark.parametrize("nr_bytes", [1, 2, 4, 8])
def test_cmpxchg_compares_the_width_only(nr_bytes):
    full = (1 << 8 * nr_bytes) - 1
    xchg(V, 0, 8)
    assert cmpxchg(V, 1, 2, nr_bytes) == 0
    assert cmpxchg(V, 0, full, nr_bytes) == 0
    assert xchg(V, 0, 8) == full


@given(st.sets(st.integers(0, 99)), st.integers(0, 99))
def test_bits_are_those_of_a_bitmap(bits, nr):
    for word in range(4):
        atomic_set(V + 4 * word, 0)
    for bit in bits:
        bitops_cy.set_bit(bit, V)
    for bit in range(100):
        assert bitops_cy.test_bit(bit, V) == (bit in bits)
    clear = [bit for bit in range(100) if bit not in bits]
    assert bitops_cy.find_first_bit(V, 100) == min(bits, default=100)
    assert bitops_cy.find_first_zero_bit(V, 100) == min(clear, default=100)
    assert bitops_cy.find_next_bit(V, 100, nr) == min(
        (b for b in bits if b >= nr), default=100
    )
    assert bitops_cy.find_next_zero_bit(V, 100, nr) == min(
        (b for b in clear if b >= nr), default=100
    )
    was = nr in bits
    assert bitops_cy.test_and_change_bit(nr, V) == was
    assert bitops_cy.test_and_set_bit(nr, V) != was
    assert bitops_cy.test_and_clear_bit(nr, V) is True
    bitops_cy.change_bit(nr, V)
    bitops_cy.clear_bit(nr, V)
    assert bitops_cy.test_bit(nr, V) is False


def test_two_processes_lose_no_update():
    atomic_set(V, 0)
    atomic_set(V + 4, 0)

    def count():
        from cpus import percpu_cy

        percpu_cy.become(1, 1)
        for _ in range(20000):
            atomic_inc(V)
            bitops_cy.change_bit(0, V + 4)

    from cpus import percpu_cy

    percpu_cy.take_slot(1, 1, "cpu1", 1)
    pid = in_child(count, wait=False)
    for _ in range(20000):
        atomic_inc(V)
        bitops_cy.change_bit(1, V + 4)
    import os

    assert os.waitpid(pid, 0)[1] == 0
    assert atomic_read(V) == 40000 and atomic_read(V + 4) == 0


@pytest.mark.parametrize(
    "call",
    [
        atomic_read,
        atomic_inc,
        lambda v: atomic_set(v, 1),
        lambda v: bitops_cy.set_bit(3, v),
        lambda v: bitops_cy.find_first_bit(v, 8),
        lambda v: xchg(v, 1),
    ],
)
def test_an_unmapped_word_is_an_oops(call):
    with pytest.raises(NullDereference):
        call(0)
    with pytest.raises(Oops, match="c0100000"):
        call(0xC0100000)


def test_barriers_are_kernel_calls():
    for call in (atomic_cy.mb, atomic_cy.rmb, atomic_cy.wmb, atomic_cy.barrier):
        assert call() is None
