"""/proc/slabinfo: version 1.1 of Linux 2.4, 2.1 of 2.6.10 and later, and tuning by writing.

Objects in the CPUs' arrays count as active. A statistics build has more columns.
"""

from __future__ import annotations

import os
import re

from cpus.errors import ConfigError
from smpmm import symbols
from smpmm.mm import cache_cy, cpucache_cy, shrink_cy, slab_build_cy, slab_state_cy

COLUMNS_2_1 = (
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> "
    ": tunables <limit> <batchcount> <sharedfactor> "
    ": slabdata <active_slabs> <num_slabs> <sharedavail>"
)
STATISTICS_2_1 = (
    " : globalstat <listallocs> <maxobjs> <grown> <reaped> <error> <maxfreeable> <freelimit>"
    " <nodeallocs> : cpustat <allochit> <allocmiss> <freehit> <freemiss>"
)
EINVAL = 22
MAX_WRITE = 128
NUMBER = re.compile(r"-?[0-9]+")


def proc_read() -> str:
    """Return the file in the layout that the machine's option `slabinfo` asks for."""
    return slabinfo_text(symbols.config_value("options", {}).get("slabinfo", "1.1"))


def slabinfo_text(version: str = "1.1") -> str:
    """Return the file in layout `version`, "1.1" or "2.1". Takes each cache's lock in turn."""
    if version not in ("1.1", "2.1"):
        raise ConfigError(f"slabinfo version {version!r}: there is 1.1 and 2.1")
    statistics = slab_build_cy.counts()
    row = _row_1_1 if version == "1.1" else _row_2_1
    text = f"slabinfo - version: {version}{' (statistics)' if statistics else ''}"
    if version == "1.1":
        text += " (SMP)\n"
    else:
        text += f"\n{COLUMNS_2_1}{STATISTICS_2_1 if statistics else ''}\n"
    return text + "".join(row(index, statistics) for index in slab_state_cy.live_caches())


def _row_1_1(index: int, statistics: bool) -> str:
    info = slab_state_cy.cache_info(index)
    active, objects, active_slabs, slabs = slab_state_cy.slab_counts(index)
    text = (
        f"{info['name']:<17} {active:6d} {objects:6d} {info['objsize']:6d}"
        f" {active_slabs:4d} {slabs:4d} {1 << info['gfporder']:4d}"
    )
    if statistics:
        # Nothing in 2.4 counts an error.
        text += (
            f" : {info['high_mark']:6d} {info['nr_allocs']:7d} {info['grown']:5d}"
            f" {info['reaped']:4d} {0:4d}"
        )
    text += f" : {info['limit']:4d} {info['batchcount']:4d}"
    if statistics:
        text += " : {:6d} {:6d} {:6d} {:6d}".format(*slab_state_cy.array_hits(index))
    return text + "\n"


def _row_2_1(index: int, statistics: bool) -> str:
    """Return a row of 2.1: what reads it counts words, so that blanks in a name become
    underscores, and what 2.4 has not (shared arrays, limits of free objects) is 0."""
    info = slab_state_cy.cache_info(index)
    active, objects, active_slabs, slabs = slab_state_cy.slab_counts(index)
    text = (
        f"{'_'.join(info['name'].split()):<17} {active:6d} {objects:6d} {info['objsize']:6d}"
        f" {info['num']:4d} {1 << info['gfporder']:4d}"
        f" : tunables {info['limit']:4d} {info['batchcount']:4d} {0:4d}"
        f" : slabdata {active_slabs:6d} {slabs:6d} {0:6d}"
    )
    if statistics:
        text += (
            f" : globalstat {info['nr_allocs']:7d} {info['high_mark']:6d} {info['grown']:5d}"
            f" {info['reaped']:4d} {0:4d} {0:4d} {0:4d} {0:4d}"
            " : cpustat {:6d} {:6d} {:6d} {:6d}".format(*slab_state_cy.array_hits(index))
        )
    return text + "\n"


def proc_write(text: str) -> None:
    """Take a write to /proc/slabinfo; OSError for what `slabinfo_write` refuses. May sleep."""
    result = slabinfo_write(text)
    if result < 0:
        raise OSError(-result, os.strerror(-result), "/proc/slabinfo")


def slabinfo_write(data: str | bytes) -> int:
    """Set a cache's per-CPU arrays by `NAME LIMIT BATCHCOUNT`; bytes written or -errno. May
    sleep.

    `NAME 0 0` takes the arrays away. The line is read as 2.4 reads it: the name ends at the
    first blank, LIMIT begins right behind it, and what is no number counts as 0.
    """
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    if len(text.encode()) > MAX_WRITE:
        return -EINVAL
    name, blank, rest = text.partition(" ")
    if not blank:
        return -EINVAL
    limit, rest = _leading_number(rest)
    batchcount, _ = _leading_number(rest.lstrip(" "))
    shrink_cy.chain_down()
    try:
        index = cache_cy.find_cache(name)
        if index < 0:
            return -EINVAL
        error = cpucache_cy.tune_cpucache(index, limit, batchcount)
    finally:
        shrink_cy.chain_up()
    return error or len(text.encode())


def _leading_number(text: str) -> tuple[int, str]:
    """Return the number at the start of a text, 0 without one, and what is behind it."""
    found = NUMBER.match(text)
    if found is None:
        return 0, text
    return int(found[0]), text[found.end() :]
