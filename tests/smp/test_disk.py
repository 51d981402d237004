"""The disk of a machine: a host file of the user's, or an empty one of its own."""

import os

import pytest

from cpus import ship
from cpus.errors import ConfigError
from smpmm.machine import Machine

HDA = 0x300


def change_block(number):
    from smpmm.mm import access_cy, buffer_io_cy

    address = buffer_io_cy.bread(HDA, number)
    old = access_cy.peek(address, 8)
    access_cy.poke(address, b"changed!")
    buffer_io_cy.mark_buffer_dirty(address)
    buffer_io_cy.brelse(address)
    buffer_io_cy.sync_buffers()
    return old


@pytest.mark.parametrize("how", ["keyword", "command line"])
def test_the_disk_is_the_users_file(tmp_path, monkeypatch, how) -> None:
    ship.register_by_value("tests")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hda").write_bytes(b"12345678" * 512 * 2)
    given = {"disk": "hda"} if how == "keyword" else {"cmdline": "disk=hda"}
    with Machine(cpus=1, **given) as machine:
        assert machine.run(change_block, 1) == b"12345678"
        assert machine.vm_counters()["nr_buffer_pages"] == 1
    assert (tmp_path / "hda").read_bytes()[4096:4104] == b"changed!"


def change_and_sync(path: str, rounds: int, blocks: int) -> list[tuple[int, int]]:
    """Change blocks, which wakes bdflush, and sync; returns what is not on the disk then."""
    from smpmm.mm import access_cy, buffer_io_cy

    wrong = []
    with open(path, "rb") as disk:
        for number in range(rounds):
            data = number.to_bytes(8, "little")
            for block in range(blocks):
                address = buffer_io_cy.bread(HDA, block)
                access_cy.poke(address, data)
                buffer_io_cy.mark_buffer_dirty(address)
                buffer_io_cy.brelse(address)
            buffer_io_cy.sync_buffers()
            wrong += [
                (number, block)
                for block in range(blocks)
                if os.pread(disk.fileno(), 8, 4096 * block) != data
            ]
    return wrong


def test_sync_waits_for_what_bdflush_is_writing(tmp_path) -> None:
    ship.register_by_value("tests")
    disk = tmp_path / "hda"
    disk.write_bytes(bytes(40 * 4096))
    with Machine(cpus=2, mem="16M", disk=disk) as machine:
        assert machine.run(change_and_sync, str(disk), 1500, 40) == []
        machine.check()


def test_a_bad_disk_is_named_before_a_process_starts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("smpmm.machine.start_monitor", lambda *_: pytest.fail("started"))
    (tmp_path / "short").write_bytes(b"x")
    os.mkdir(tmp_path / "folder")
    for name, says in (
        ("missing", "No such file"),
        ("folder", "Is a directory"),
        ("short", "1 bytes, less than a block of 4096"),
    ):
        with pytest.raises(ConfigError, match=f"disk=.*{name}.*{says}"):
            Machine(disk=tmp_path / name)
