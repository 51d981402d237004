"""Versions are points: short names, full numbers, and facts that are found or borrowed."""

import pytest

from smpmm.profile import profile_for
from smpmm.profiles.facts import Facts, Reader
from smpmm.profiles.version import KERNEL_VERSION, point, range_of


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("2.0", "2.0.40"),
        ("2.2", "2.2.18"),
        ("2.4", "2.4.5"),
        ("2.6", "2.6.11"),
        ("modern", "6.1"),
        ("2.4.31", "2.4.31"),
        ("2.6.11.5", "2.6.11.5"),
        ("4.19", "4.19"),
    ],
)
def test_a_short_name_is_a_point(name: str, version: str) -> None:
    assert profile_for(name, "i386").version == version


@pytest.mark.parametrize("text", ["2.5", "3", "1.2.13", "9.9", "new", "2.4.x", "", "2.4."])
def test_what_is_no_version_says_what_there_is(text: str) -> None:
    with pytest.raises(ValueError, match=r"there are 2\.0, 2\.2, 2\.4, 2\.6, modern"):
        point(text)


def test_versions_compare_as_numbers() -> None:
    assert point("2.4.9") < point("2.4.10") < point("2.6") < point("3.10") < point("modern")
    assert KERNEL_VERSION(2, 4, 5) == 0x020405


def test_the_end_of_a_range_may_be_a_series() -> None:
    assert (2, 4, 37) in range_of("2.4.23-2.4")
    assert (2, 4, 22) not in range_of("2.4.23-2.4")
    assert (2, 6, 0) not in range_of("2.4.23-2.4")
    assert (2, 6, 0) in range_of("2.4.23-")


TABLE = Facts("walls", {"2.2": "wood", "2.4.3-2.4.5": "stone", "2.6.0-": "glass"})


@pytest.mark.parametrize(
    ("version", "value", "borrowed_from"),
    [
        ((2, 2, 18), "wood", None),
        ((2, 4, 4), "stone", None),
        ((2, 4, 9), "stone", "2.4.5"),  # the nearest earlier one
        ((2, 3, 1), "wood", "2.2"),
        ((2, 0, 40), "wood", "2.2"),  # there is no earlier one
        ((6, 1), "glass", None),
    ],
)
def test_what_is_not_known_is_borrowed_and_marked(version, value, borrowed_from) -> None:
    reader = Reader(version)
    assert reader.read(TABLE) == value
    assert [str(note) for note in reader.borrowed] == (
        [f"walls of {borrowed_from}"] if borrowed_from else []
    )


def test_the_default_machine_borrows_nothing() -> None:
    assert profile_for("2.4", "i386").borrowed == ()


def test_a_profile_says_what_it_borrows() -> None:
    texts = [str(note) for note in profile_for("2.6.20", "i386").borrowed]
    assert "GFP flags of 2.6.11" in texts
    assert "watermarks of 2.6.11" in texts
    assert not any("HZ" in text for text in texts)
