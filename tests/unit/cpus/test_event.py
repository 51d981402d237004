"""The kernel log and the event rings: several writers, dead and slow ones, and readers."""

import ctypes
import os
import signal

import pytest

from cpus import event_cy, kill_cy, percpu_cy, segment_cy
from tests.support import KIND_CPU, in_child, small_machine

NR_LOG_LINES = 4096
NUMBER = 31  # log_line.seq: the number + 1 from this bit on, the writer below
RECORD = 248


@pytest.fixture(autouse=True)
def machine():
    small_machine(cpus=2)


def texts():
    return [text for _ns, _level, _cpu, text in event_cy.read_log()]


def head():
    return ctypes.c_uint64.from_address(segment_cy.region_address("log"))


def seq_of(number: int):
    at = segment_cy.region_address("log") + 64 + number % NR_LOG_LINES * RECORD
    return ctypes.c_uint64.from_address(at)


def be_cpu1():
    percpu_cy.take_slot(1, KIND_CPU, "cpu1", 1)
    percpu_cy.become(1, os.getpid())


def test_lines_come_back_with_level_and_cpu_in_order():
    event_cy.log("first\nsecond", 3)
    event_cy.log("", 5)
    assert [(level, cpu, text) for _, level, cpu, text in event_cy.read_log()] == [
        (3, 0, "first"), (3, 0, "second"), (5, 0, ""),
    ]  # fmt: skip
    assert event_cy.dmesg(4).count("\n") == 2


@pytest.mark.parametrize("length", [215, 216, 217, 431, 432, 433, 2000])
@pytest.mark.parametrize("character", ["a", "é", "€", "😀"])
def test_long_lines_come_back_whole(character, length):
    text = "x" * (length % 3) + character * length
    event_cy.log(text)
    event_cy.log("next")
    got = texts()
    assert "".join(got[:-1]) == text  # beyond 32 records it is several lines
    assert got[-1] == "next"
    assert not any("\ufffd" in line for line in got)


def test_bytes_that_are_no_text_are_logged():
    event_cy.log("\udcff" * 300)
    assert texts() == ["?" * 300]


def write_long_lines(letter: str):
    be_cpu1()
    for n in range(400):
        event_cy.log(letter * (220 + n))


def test_parts_of_two_writers_do_not_mix():
    pids = [in_child(write_long_lines, letter, wait=False) for letter in "ab"]
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    lines = texts()
    assert len(lines) == 800
    for letter in "ab":
        mine = [line for line in lines if line[0] == letter]
        assert mine == [letter * (220 + n) for n in range(400)]


def die_writing(text: str):
    be_cpu1()
    kill_cy.arm("log_reserved")
    event_cy.log(text)


def test_records_of_a_killed_writer_are_passed_over_and_taken():
    event_cy.log("before")
    in_child(die_writing, "z" * 500, expect=signal.SIGKILL)
    percpu_cy.mark_dead(1)
    event_cy.log("after")
    assert texts() == ["before", "after"]
    for n in range(NR_LOG_LINES):
        event_cy.log(str(n))
    assert texts() == [str(n) for n in range(NR_LOG_LINES)]


def test_record_of_a_live_slow_writer_is_passed_over():
    event_cy.log("zero")
    seq_of(1).value = 2 << NUMBER | 0x7FFFFFFF  # a writer without a slot is in the middle
    head().value = 2
    for n in range(2, NR_LOG_LINES + 3):
        event_cy.log(str(n))
    assert seq_of(1).value == 2 << NUMBER | 0x7FFFFFFF
    assert texts()[-1] == str(NR_LOG_LINES + 2)
    assert len(texts()) == NR_LOG_LINES - 1


def test_writer_that_slept_a_whole_round_destroys_nothing_newer():
    for n in range(2 * NR_LOG_LINES):
        event_cy.log(str(n))
    head().value -= NR_LOG_LINES  # the number that it got before it slept
    event_cy.log("late")
    head().value = 2 * NR_LOG_LINES
    assert texts() == [str(n) for n in range(NR_LOG_LINES, 2 * NR_LOG_LINES)]


def test_events_are_numbered_and_read_from_a_number_on():
    for a in range(5):
        event_cy.event(4, a, 2, 3, 0)
    records = event_cy.read_events(0)
    assert [(r["number"], r["a"], r["type"]) for r in records] == [
        (n, n, "irq_handler_entry") for n in range(5)
    ]
    assert [r["a"] for r in event_cy.read_events(0, 3)] == [3, 4]
    assert event_cy.read_events(1) == []


def test_event_that_is_being_written_is_left_out():
    for a in range(3):
        event_cy.event(4, a, 0, 0, 0)
    at = segment_cy.region_address("events") + 48 + 44
    assert ctypes.c_uint32.from_address(at).value == 2
    ctypes.c_uint32.from_address(at).value = 0
    assert [r["a"] for r in event_cy.read_events(0)] == [0, 2]


def test_ring_keeps_the_newest_events():
    for a in range(8192 + 10):
        event_cy.event(5, a, 0, 0, 0)
    records = event_cy.read_events(0)
    assert len(records) == 8192
    assert (records[0]["a"], records[-1]["a"]) == (10, 8192 + 9)
