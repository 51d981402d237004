"""Who uses a buffer: b_count of Linux, which also says whose the users are.

A word has room for three processes and the number of users that each stands for. What does not
fit is counted without a name. So one store changes count and names together, and what a dead
process had in use is given up by one more.
"""

import cython


def entry_of(users: u64, i: cython.int) -> u64:
    return (users >> (16 * i)) & 0xFFFF


def add_user(users, slot):
    """Add a user for a process (slot + 1)."""
    i: cython.int
    for i in range(NR_USER_ENTRIES):
        if entry_of(users, i) & 0xFF == slot and entry_of(users, i) >> 8 < USER_COUNT_MOST:
            return users + (cython.cast(u64, 0x100) << (16 * i))
    for i in range(NR_USER_ENTRIES):
        if entry_of(users, i) == 0:
            return users | (0x100 | slot) << (16 * i)
    return users + (cython.cast(u64, 1) << OTHERS_SHIFT)


def drop_user(users, slot):
    """Take a user away: this process's, else a nameless one, else that of another process.

    A buffer may be given back by another process than the one that asked for it. 0 stays 0.
    """
    i: cython.int
    for i in range(NR_USER_ENTRIES):
        if entry_of(users, i) & 0xFF == slot:
            return without_one(users, i)
    if users >> OTHERS_SHIFT != 0:
        return users - (cython.cast(u64, 1) << OTHERS_SHIFT)
    for i in range(NR_USER_ENTRIES):
        if entry_of(users, i) != 0:
            return without_one(users, i)
    return users


def without_one(users: u64, i: cython.int) -> u64:
    if entry_of(users, i) >> 8 == 1:
        return users & ~(cython.cast(u64, 0xFFFF) << (16 * i))
    return users - (cython.cast(u64, 0x100) << (16 * i))


def drop_users_of(users, slot):
    """Take all users of a process (slot + 1) away."""
    i: cython.int
    for i in range(NR_USER_ENTRIES):
        if entry_of(users, i) & 0xFF == slot:
            users &= ~(cython.cast(u64, 0xFFFF) << (16 * i))
    return users


def nr_users(users):
    """Return b_count."""
    i: cython.int
    count: u64 = users >> OTHERS_SHIFT
    for i in range(NR_USER_ENTRIES):
        count += entry_of(users, i) >> 8
    return count
