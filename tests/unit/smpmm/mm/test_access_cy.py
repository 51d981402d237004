"""Access through kernel addresses: what is moved, and what happens where nothing is mapped."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpus import segment_cy
from cpus.errors import NullDereference, Oops
from cpus.handle_cy import Handle
from smpmm.mm.access_cy import memcmp, memcpy, memmove, memset, peek, poke
from tests.support import small_machine

DIRECT = 0xC0000000
RAM = 1 << 20
END = DIRECT + RAM


@pytest.fixture(scope="module", autouse=True)
def machine():
    """Put a second window right behind RAM: a range across the border is scattered."""
    small_machine(ram_bytes=RAM)
    segment_cy.set_windows(DIRECT, RAM, END, b"window")


def test_poke_and_peek_are_the_same_bytes():
    poke(DIRECT + 100, b"scull")
    assert peek(DIRECT + 100, 5) == b"scull"
    assert peek(Handle(DIRECT + 100), 2) == b"sc"
    poke(Handle(DIRECT + 100), bytearray(b"SC"))
    poke(DIRECT + 102, memoryview(b"ULL"))
    assert peek(DIRECT + 100, 5) == b"SCULL"
    assert peek(DIRECT, 0) == b"" and peek(0, 0) == b""


def test_poke_takes_bytes_only():
    with pytest.raises(TypeError):
        poke(DIRECT, "text")
    with pytest.raises(TypeError, match="'c0000000'"):
        peek("c0000000", 1)


def test_memset_uses_the_low_byte_and_returns_its_address():
    assert memset(DIRECT, 0x1A5, 8192) == DIRECT
    assert peek(DIRECT, 8192) == b"\xa5" * 8192
    memset(DIRECT + 1, -1, 2)
    assert peek(DIRECT, 4) == b"\xa5\xff\xff\xa5"


def test_a_range_across_scattered_pages_is_one_range():
    data = bytes(range(256)) * 40
    poke(END - 5000, data)
    assert peek(END - 5000, len(data)) == data
    assert memcmp(END - 5000, END - 5000, len(data)) == 0
    memcpy(END - 30000, END - 5000, len(data))
    assert peek(END - 30000, len(data)) == data
    memset(END - 10, 7, 20)
    assert peek(END - 11, 22) == data[4989:4990] + b"\x07" * 20 + data[5010:5011]


def test_more_than_one_chunk_is_moved_whole():
    data = bytes(i * 7 & 0xFF for i in range(200_000))
    poke(DIRECT, data)
    memcpy(DIRECT + 300_000, DIRECT, len(data))
    assert peek(DIRECT + 300_000, len(data)) == data
    assert memcmp(DIRECT, DIRECT + 300_000, len(data)) == 0


@given(
    st.integers(0, 9000),
    st.integers(0, 9000),
    st.integers(0, 9000),
)
def test_memmove_moves_overlapping_ranges(source, target, n):
    base = END - 8192
    before = bytes((i * 31 + (i >> 8)) & 0xFF for i in range(18000))
    poke(base, before)
    expected = bytearray(before)
    expected[target : target + n] = before[source : source + n]
    memmove(base + target, base + source, n)
    assert peek(base, 18000) == bytes(expected)


def test_memcmp_compares_unsigned_bytes():
    poke(DIRECT, b"abc\x80xyz")
    poke(DIRECT + 100, b"abc\x01xyz")
    assert memcmp(DIRECT, DIRECT + 100, 3) == 0
    assert memcmp(DIRECT, DIRECT + 100, 7) > 0
    assert memcmp(DIRECT + 100, DIRECT, 7) < 0


@pytest.mark.parametrize("address", [0, 4, 4095])
def test_an_access_near_zero_is_a_null_pointer(address):
    with pytest.raises(NullDereference) as caught:
        peek(address, 1)
    assert caught.value.report.startswith(
        f"Unable to handle kernel NULL pointer dereference at virtual address {address:08x}"
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda bad: peek(bad, 4),
        lambda bad: poke(bad, b"1234"),
        lambda bad: memset(bad, 0, 4),
        lambda bad: memcpy(bad, DIRECT, 4),
        lambda bad: memcpy(DIRECT, bad, 4),
        lambda bad: memmove(bad, DIRECT, 4),
        lambda bad: memmove(DIRECT, bad, 4),
        lambda bad: memcmp(DIRECT, bad, 4),
        lambda bad: memcmp(bad, DIRECT, 4),
    ],
)
@pytest.mark.parametrize("bad", [DIRECT - 4, 0xB8000, -12, 1 << 63])
def test_an_unmapped_address_is_a_paging_request(call, bad):
    with pytest.raises(Oops, match="paging request at virtual address") as caught:
        call(bad)
    assert f"{bad & 0xFFFFFFFFFFFFFFFF:08x}" in str(caught.value)


def test_a_range_that_ends_outside_faults_at_its_first_unmapped_byte():
    end = END + (1 << 20)
    with pytest.raises(Oops, match=f"{end:08x}"):
        memset(end - 6, 0xEE, 100)
    assert peek(end - 6, 6) == b"\xee" * 6
    with pytest.raises(Oops, match=f"{end:08x}"):
        peek(end - 6, 1 << 62)
    # From the top of an overlapping move it is the last page's first unmapped piece.
    with pytest.raises(Oops, match=f"{end:08x}"):
        memmove(end - 4, end - 8, 8)


def test_nothing_is_left_inside_after_a_fault():
    from cpus import percpu_cy

    with pytest.raises(Oops):
        peek(16, 1)
    assert percpu_cy.slot_info(0)["inside"] == 0
