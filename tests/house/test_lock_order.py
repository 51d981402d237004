"""ARCHITECTURE.md shows the lock order that cpus.lockorder has."""

import re

from cpus import lockorder
from tests.house.tree import ROOT, files


def test_architecture_shows_the_table():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    section = text.partition("\n## Lock order\n")[2].partition("\n## ")[0]
    shown = [line for line in section.splitlines() if re.match(r" +\d+  ", line)]
    assert shown == lockorder.listing()


def test_every_lock_class_of_the_kernel_has_a_rank():
    named = re.compile(r'(?:lock_class_named|wait_queue_class)\(\s*b"([^"]+)"')
    names = {name for path in files(".py") for name in named.findall(path.read_text())}
    assert len(names) > 8
    assert {name for name in names if lockorder.rank(name) is None} == {"(all others)"}


def test_what_the_table_forbids_is_found():
    pairs = [("zone->lock", "size-32->spinlock"), ("zone->lock", "zone->lock")]
    assert len(lockorder.breaches(pairs)) == 2
    assert lockorder.breaches([("size-32->spinlock", "zone->lock"), ("my_lock", "a")]) == []
