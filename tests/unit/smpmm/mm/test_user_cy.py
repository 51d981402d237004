"""User memory: mapped for a system call, copied from and to, and never trusted."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpus import bug, context_cy, percpu_cy
from cpus.errors import NullDereference, Oops, SleepingInAtomic
from smpmm.mm.access_cy import peek, poke
from smpmm.mm.user_cy import (
    VERIFY_WRITE,
    access_ok,
    clear_user,
    copy_from_user,
    copy_to_user,
    get_user,
    nr_user_maps,
    put_user,
    strncpy_from_user,
    user_map,
    user_unmap,
)
from smpmm.scalar_cy import SCALARS
from tests.support import small_machine

KERNEL = 0xC0010000
PAGE_OFFSET = 0xC0000000
U8, U16, U64, S8 = SCALARS["u8"], SCALARS["u16"], SCALARS["u64"], SCALARS["s8"]


@pytest.fixture(scope="module", autouse=True)
def machine():
    small_machine(ram_bytes=1 << 20)
    percpu_cy.register_hooks(breach=bug.breach)


@pytest.fixture
def user():
    """Map buffers; at the end nothing of them is left."""
    mapped = []

    def add(buffer, writable=False):
        mapped.append(user_map(buffer, writable))
        return mapped[-1]

    yield add
    for address in mapped:
        user_unmap(address)
    assert nr_user_maps() == 0


def test_a_buffer_is_copied_both_ways(user):
    page = bytearray(b"from user")
    address = user(page, True)
    assert 0x08048000 <= address < PAGE_OFFSET
    assert copy_from_user(KERNEL, address, 9) == 0
    assert peek(KERNEL, 9) == b"from user"
    poke(KERNEL, b"to")
    assert copy_to_user(address, KERNEL, 2) == 0
    assert page == b"toom user"


def test_what_lies_outside_is_not_copied(user):
    page = bytearray(b"12345678")
    address = user(page, True)
    poke(KERNEL, b"abcdefghijklmnop")
    assert copy_to_user(address + 5, KERNEL, 7) == 4
    assert page == b"12345abc"
    assert copy_from_user(KERNEL, address + 6, 5) == 3
    assert peek(KERNEL, 6) == b"bc\0\0\0f", "the rest is zeroed, what lies behind is not"
    assert copy_to_user(address - 1, KERNEL, 4) == 4
    assert copy_from_user(KERNEL, 16, 4) == 4
    assert copy_to_user(0, KERNEL, 0) == 0


def test_a_read_only_range_is_not_written(user):
    address = user(b"constant")
    assert copy_to_user(address, KERNEL, 3) == 3
    assert clear_user(address, 3) == 3
    assert put_user(1, address) == -errno.EFAULT
    with pytest.raises(BufferError):
        user_map(b"constant", True)


def test_a_kernel_address_is_no_user_address():
    assert copy_from_user(KERNEL, PAGE_OFFSET, 4) == 4
    assert copy_to_user(PAGE_OFFSET + 64, KERNEL, 4) == 4
    assert get_user(PAGE_OFFSET) == (-errno.EFAULT, 0)
    assert put_user(0, PAGE_OFFSET) == -errno.EFAULT
    assert strncpy_from_user(KERNEL, PAGE_OFFSET, 4) == -errno.EFAULT


def test_the_kernel_may_not_follow_a_user_pointer(user):
    with pytest.raises(Oops, match="paging request at virtual address 08048000"):
        peek(user(b"secret"), 1)


def test_a_bad_kernel_address_is_an_oops(user):
    address = user(bytearray(8), True)
    with pytest.raises(NullDereference):
        copy_from_user(0, address, 8)
    with pytest.raises(NullDereference):
        copy_to_user(address, 0, 8)
    with pytest.raises(Oops, match="d0000000"):
        strncpy_from_user(0xD0000000, address, 8)


def test_ranges_do_not_touch_and_their_places_are_used_again(user):
    first, second = user(bytes(5000)), user(bytes(4096))
    assert second == first + 3 * 4096
    assert copy_from_user(KERNEL, first, 9000) == 4000
    user_unmap(user_map(b"x"))
    assert user(b"y") == second + 2 * 4096


def test_each_task_has_its_own_memory(user):
    address = user(b"first")
    percpu_cy.set_current(0x1000)
    try:
        assert copy_from_user(KERNEL, address, 5) == 5
        with pytest.raises(ValueError, match="08048000|0x8048000"):
            user_unmap(address)
        assert user_map(b"second") == address
        assert copy_from_user(KERNEL, address, 6) == 0
        assert peek(KERNEL, 6) == b"second"
        user_unmap(address)
    finally:
        percpu_cy.set_current(0)
    assert copy_from_user(KERNEL, address, 5) == 0


def test_a_mapped_buffer_stays_exported():
    page = bytearray(10)
    address = user_map(page, True)
    with pytest.raises(BufferError):
        page.append(1)
    user_unmap(address)
    page.append(1)


def test_scalars_are_read_and_written(user):
    page = bytearray(16)
    address = user(page, True)
    assert put_user(-2, address) == 0
    assert page[:4] == b"\xfe\xff\xff\xff"
    assert get_user(address) == (0, -2)
    assert get_user(address, SCALARS["u32"]) == (0, 0xFFFFFFFE)
    assert get_user(address, S8) == (0, -2) and get_user(address, U16) == (0, 0xFFFE)
    assert put_user(0x1122334455667788, address + 8, U64) == 0
    assert get_user(address + 8, U64) == (0, 0x1122334455667788)
    assert get_user(address + 14) == (-errno.EFAULT, 0)
    assert put_user(5, address + 14) == -errno.EFAULT
    with pytest.raises(TypeError, match="put_user"):
        put_user("x", address)


@given(st.binary(max_size=40), st.integers(0, 50))
def test_strncpy_from_user_copies_a_string(data, n):
    address = user_map(data)
    poke(KERNEL, b"\xaa" * 64)
    result = strncpy_from_user(KERNEL, address, n)
    user_unmap(address)
    end = data.find(b"\0")
    if end >= 0 and end < n:
        assert result == end and peek(KERNEL, end + 2) == data[: end + 1] + b"\xaa"
    elif n <= len(data):
        assert result == n and peek(KERNEL, n + 1) == data[:n] + b"\xaa"
    else:
        assert result == -errno.EFAULT


def test_clear_user_zeroes(user):
    page = bytearray(b"\xff" * 8)
    assert clear_user(user(page, True) + 2, 10) == 4
    assert page == b"\xff\xff" + bytes(6)


def test_access_ok_looks_at_the_address_only():
    assert access_ok(VERIFY_WRITE, 0x1000, 100) == 1
    assert access_ok(VERIFY_WRITE, PAGE_OFFSET - 10, 10) == 1
    assert access_ok(VERIFY_WRITE, PAGE_OFFSET - 10, 11) == 0
    assert access_ok(VERIFY_WRITE, 4096, 1 << 63) == 0
    assert access_ok(VERIFY_WRITE, -1, 1) == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda a: copy_to_user(a, KERNEL, 1),
        lambda a: copy_from_user(KERNEL, a, 1),
        lambda a: clear_user(a, 1),
        lambda a: strncpy_from_user(KERNEL, a, 1),
        lambda a: get_user(a, U8),
        lambda a: put_user(1, a, U8),
    ],
)
def test_a_copy_may_sleep(user, call):
    address = user(bytearray(4), True)
    context_cy.local_irq_disable()
    try:
        with pytest.raises(SleepingInAtomic):
            call(address)
    finally:
        context_cy.local_irq_enable()
