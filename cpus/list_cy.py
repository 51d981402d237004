"""Doubly linked lists in RAM: links are pairs of kernel addresses, next and prev.

`struct list_head` has the architecture's pointers (8 bytes on i386). Each function is one
kernel call; a list is guarded by whatever lock its user chose. A list whose link was
overwritten is an oops at the address that it led to. Nothing is poisoned: 2.4 leaves a
deleted link as it is. Any context. Compare include/linux/list.h.
"""

import cython
from cython.cimports.cpus.atomic import unlikely
from cython.cimports.cpus.handle_cy import address_of
from cython.cimports.cpus.percpu_cy import enter, leave
from cython.cimports.cpus.word_cy import bad_access, load_word, store_word, word_bytes


def load_link(address, link, fault):
    if unlikely(load_word(address, word_bytes, link) != 0):
        fault[0] = address
        return -1
    return 0


def store_link(address, link, fault):
    if unlikely(store_word(address, word_bytes, link) != 0):
        fault[0] = address
        return -1
    return 0


def link_between(new, before, after, fault):
    if (
        store_link(after + word_bytes, new, fault) != 0
        or store_link(new, after, fault) != 0
        or store_link(new + word_bytes, before, fault) != 0
        or store_link(before, new, fault) != 0
    ):
        return -1
    return 0


def link_neighbours(link, fault):
    """Take a link out: its neighbours point to each other."""
    before: u64 = 0
    after: u64 = 0
    if (
        load_link(link, cython.address(after), fault) != 0
        or load_link(link + word_bytes, cython.address(before), fault) != 0
        or store_link(after + word_bytes, before, fault) != 0
        or store_link(before, after, fault) != 0
    ):
        return -1
    return 0


def make_empty(link, fault):
    if store_link(link, link, fault) != 0 or store_link(link + word_bytes, link, fault) != 0:
        return -1
    return 0


def splice(list, head, fault):
    """Put the links of `list`, which is not empty, behind `head`; `list` stays as it was."""
    first: u64 = 0
    last: u64 = 0
    at: u64 = 0
    if load_link(list, cython.address(first), fault) != 0:
        return -1
    if first == list:
        return 0
    if (
        load_link(list + word_bytes, cython.address(last), fault) != 0
        or load_link(head, cython.address(at), fault) != 0
        or store_link(first + word_bytes, head, fault) != 0
        or store_link(head, first, fault) != 0
        or store_link(last, at, fault) != 0
        or store_link(at + word_bytes, last, fault) != 0
    ):
        return -1
    return 0


def INIT_LIST_HEAD(head: object) -> None:
    """Make an empty list. Any context."""
    at: u64 = address_of(head)
    fault: u64 = 0
    enter()
    failed: cython.int = make_empty(at, cython.address(fault))
    leave()
    if unlikely(failed):
        bad_access(b"INIT_LIST_HEAD", fault)


def add_link(new, head, tail, call):
    link: u64 = address_of(new)
    at: u64 = address_of(head)
    beside: u64 = at + word_bytes if tail else at
    other: u64 = 0
    fault: u64 = 0
    failed: cython.int
    enter()
    failed = load_link(beside, cython.address(other), cython.address(fault))
    if failed == 0:
        if tail:
            failed = link_between(link, other, at, cython.address(fault))
        else:
            failed = link_between(link, at, other, cython.address(fault))
    leave()
    if unlikely(failed):
        bad_access(call, fault)
    return link


def list_add(new: object, head: object) -> None:
    """Put a link behind `head`: a stack. Any context."""
    add_link(new, head, False, b"list_add")


def list_add_tail(new: object, head: object) -> None:
    """Put a link before `head`: a queue. Any context."""
    add_link(new, head, True, b"list_add_tail")


def list_del(link: object) -> None:
    """Take a link out of its list; it keeps its pointers. Any context."""
    at: u64 = address_of(link)
    fault: u64 = 0
    enter()
    failed: cython.int = link_neighbours(at, cython.address(fault))
    leave()
    if unlikely(failed):
        bad_access(b"list_del", fault)


def list_del_init(link: object) -> None:
    """Take a link out of its list and make it an empty list. Any context."""
    at: u64 = address_of(link)
    fault: u64 = 0
    enter()
    failed: cython.int = link_neighbours(at, cython.address(fault))
    if failed == 0:
        failed = make_empty(at, cython.address(fault))
    leave()
    if unlikely(failed):
        bad_access(b"list_del_init", fault)


def list_empty(head: object) -> bool:
    """Return whether there is nothing in a list. Any context."""
    at: u64 = address_of(head)
    first: u64 = 0
    fault: u64 = 0
    enter()
    failed: cython.int = load_link(at, cython.address(first), cython.address(fault))
    leave()
    if unlikely(failed):
        bad_access(b"list_empty", fault)
    return first == at


def list_splice(list: object, head: object) -> None:
    """Put all links of `list` behind `head`; `list` itself must then be initialised again.

    Any context.
    """
    source: u64 = address_of(list)
    at: u64 = address_of(head)
    fault: u64 = 0
    enter()
    failed: cython.int = splice(source, at, cython.address(fault))
    leave()
    if unlikely(failed):
        bad_access(b"list_splice", fault)


def list_entry(link: object, type: object, member: str) -> object:
    """Return the struct of class `type` whose field `member` is at `link`. Any context."""
    return type.at(address_of(link) - cython.cast(u64, type.__offsetof__(member)))


class ListWalk:
    """The links of a list, or the structs around them; each step is one kernel call.

    The safe walk reads the next link before it hands one out, so that this may be deleted.
    """

    def __init__(self, head: object, type: object, member: object, safe: bool):
        self.head = address_of(head)
        self.safe = safe
        self.type = type
        if type is not None:
            self.offset = type.__offsetof__(member)

    def __iter__(self):
        return self

    def __next__(self):
        fault: u64 = 0
        failed: cython.int = 0
        link: u64 = self.following
        enter()
        if not self.safe or self.link == 0:
            failed = load_link(
                self.link or self.head, cython.address(link), cython.address(fault)
            )
        if self.safe and failed == 0 and link != self.head:
            failed = load_link(link, cython.address(self.following), cython.address(fault))
        leave()
        if unlikely(failed):
            bad_access(b"list_for_each", fault)
        if link == self.head:
            raise StopIteration
        self.link = link
        return link if self.type is None else self.type.at(link - self.offset)


def list_for_each(head: object) -> ListWalk:
    """Yield the address of each link; the one handed out must stay in the list.

    Any context.
    """
    return ListWalk(head, None, None, False)


def list_for_each_safe(head: object) -> ListWalk:
    """Yield the address of each link, which may then be deleted. Any context."""
    return ListWalk(head, None, None, True)


def list_for_each_entry(head: object, type: object, member: str) -> ListWalk:
    """Yield each struct of class `type` that is linked by its field `member`. Any context."""
    return ListWalk(head, type, member, False)


def list_for_each_entry_safe(head: object, type: object, member: str) -> ListWalk:
    """Yield each struct, which may then be deleted and freed. Any context."""
    return ListWalk(head, type, member, True)
