"""/proc/slabinfo: version 1.1 (SMP) of Linux 2.4, 2.1 of 2.6.10 and later, and tuning by
writing.

Objects in the CPUs' arrays count as active.
"""

from __future__ import annotations

import os

from cpus.errors import ConfigError
from smpmm import symbols
from smpmm.mm import cache_cy, shrink_cy, slab_state_cy

HEADER_1_1 = "slabinfo - version: 1.1 (SMP)\n"
HEADER_2_1 = (
    "slabinfo - version: 2.1\n"
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> "
    ": tunables <limit> <batchcount> <sharedfactor> "
    ": slabdata <active_slabs> <num_slabs> <sharedavail>\n"
)
EINVAL = 22
MAX_WRITE = 128


def proc_read() -> str:
    """Return the file in the layout that the machine's option `slabinfo` asks for."""
    return slabinfo_text(symbols.config_value("options", {}).get("slabinfo", "1.1"))


def slabinfo_text(version: str = "1.1") -> str:
    """Return the file in layout `version`, "1.1" or "2.1". Takes each cache's lock in turn.

    What reads 2.1 counts the words of a line: blanks in a name become underscores there.
    """
    if version not in ("1.1", "2.1"):
        raise ConfigError(f"slabinfo version {version!r}: there is 1.1 and 2.1")
    lines = [HEADER_1_1 if version == "1.1" else HEADER_2_1]
    for index in slab_state_cy.live_caches():
        info = slab_state_cy.cache_info(index)
        active, objects, active_slabs, slabs = slab_state_cy.slab_counts(index)
        name = info["name"] if version == "1.1" else "_".join(info["name"].split())
        head = f"{name:<17} {active:6d} {objects:6d} {info['objsize']:6d}"
        if version == "1.1":
            lines.append(
                f"{head} {active_slabs:4d} {slabs:4d} {1 << info['gfporder']:4d}"
                f" : {info['limit']:4d} {info['batchcount']:4d}\n"
            )
        else:
            lines.append(
                f"{head} {info['num']:4d} {1 << info['gfporder']:4d}"
                f" : tunables {info['limit']:4d} {info['batchcount']:4d} {0:4d}"
                f" : slabdata {active_slabs:6d} {slabs:6d} {0:6d}\n"
            )
    return "".join(lines)


def proc_write(text: str) -> None:
    """Take a write to /proc/slabinfo; OSError for what `slabinfo_write` refuses. May sleep."""
    result = slabinfo_write(text)
    if result < 0:
        raise OSError(-result, os.strerror(-result), "/proc/slabinfo")


def slabinfo_write(data: str | bytes) -> int:
    """Set a cache's per-CPU arrays by `NAME LIMIT BATCHCOUNT`; bytes written or -errno. May
    sleep.

    `NAME 0 0` takes the arrays away.
    """
    text = data.decode("ascii", "replace") if isinstance(data, bytes) else data
    if len(text) > MAX_WRITE:
        return -EINVAL
    words = text.split()
    if len(words) < 3:
        return -EINVAL
    try:
        limit, batchcount = int(words[1]), int(words[2])
    except ValueError:
        return -EINVAL
    shrink_cy.chain_down()
    try:
        index = cache_cy.find_cache(words[0])
        if index < 0:
            return -EINVAL
        error = shrink_cy.tune_cpucache(index, limit, batchcount)
    finally:
        shrink_cy.chain_up()
    return error or len(data)
