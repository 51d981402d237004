"""Kill points: places in slow paths at which a test lets a process die."""

from cpus.atomic cimport u32, u64, unlikely

cdef enum:
    NR_KILL_POINTS = 64

    KILL_NOWHERE = 0
    KILL_LOCK_TAKEN = 1        # a contended spinlock is taken, not yet on the held list
    KILL_LOCK_RELEASING = 2    # off the held list, the word still names the owner
    KILL_LOCK_PARKED = 3       # about to sleep on the lock word
    KILL_STANDING_STILL = 4    # gave the CPU to a handler
    KILL_GATE_COUNTED = 5      # counted in `pending`, not yet runner
    KILL_GATE_TAKEN = 6        # runner, the interrupted words not yet saved
    KILL_GATE_RELEASING = 7    # runner given back, still counted
    KILL_PAGE_SPLIT = 8        # halves on the free lists, the head not yet shrunk
    KILL_PAGE_ALLOCATED = 9    # truth says allocated, the caller has not got it
    KILL_PAGE_FREED = 10       # truth says free, buddies not yet merged
    KILL_PAGE_MERGED = 11      # order raised, the inner head not yet cleared
    KILL_SLAB_REFILL = 12      # between objects of a batch on the way to a CPU's array
    KILL_SLAB_FLUSH = 13       # between objects of a batch on the way back
    KILL_SLAB_GROW = 14        # pages taken, slab not yet on the cache's list
    KILL_SLAB_GROWN = 15       # slab on the list, lock still held
    KILL_SLAB_DESTROY = 16     # slab off the list, pages not yet freed
    KILL_CACHE_CREATE = 17     # on the chain, its address not yet written
    KILL_CACHE_DESTROY = 18    # off the chain, slabs not yet freed
    KILL_TASK_SLEEP = 19       # on a wait queue, not yet scheduled away
    KILL_TASK_WAKE = 20        # off the wait queue, not yet on the run queue
    KILL_SEM_DOWN = 21         # count taken, owner not yet noted
    KILL_SEM_UP = 22           # count given, the waiter not yet woken
    KILL_IRQ_HANDLER = 23      # in an interrupt handler's Python code
    KILL_SOFTIRQ = 24          # softirqs taken off the pending word, not yet run
    KILL_TASKLET = 25          # a tasklet off its CPU's list, not yet run
    KILL_TIMER = 26            # a timer off its list, not yet run
    KILL_KMAP = 27             # a kmap entry taken, not yet written
    KILL_BUFFER = 28           # a buffer off its list for reclaim
    KILL_WRITEBACK = 29        # a dirty buffer under write
    KILL_TEXT = 30             # a text entry claimed, not yet whole
    KILL_MODULE = 31           # between the steps of insmod
    KILL_OPEN_FILE = 32        # inside a driver's file operation
    KILL_SLAB_CLAIMED = 33     # an object is the freeing process's, not yet in its array
    KILL_CLASS_CLAIMED = 34    # a lock class claimed, not yet filled in
    KILL_READ_NOTED = 35       # a reader on the held list, not yet counted
    KILL_READ_LEAVING = 36     # a reader off the held list, still counted
    KILL_WRITE_TAKEN = 37      # a writer has the word, has not looked for readers
    KILL_LOCK_HANDED = 38      # woken from the lock word, has not yet looked at it
    KILL_LOG_RESERVED = 39     # records of the log reserved, not yet written
    KILL_FILE_CLAIMED = 40     # an open file is in the table, its driver does not know it
    KILL_SITE_CLAIMED = 41     # a call site entered, its names not yet written
    KILL_TIMER_MOVED = 42      # a pending timer has its new time, its caller does not know
    KILL_FILE_PASSED = 43      # an open file has its new owner, who does not know
    KILL_SLAB_TUNE = 44        # a CPU has its new array, the old one not yet freed
    KILL_CACHE_DESTROYED = 45  # its address is gone, the descriptor not yet freed
    KILL_PGTABLE = 46          # a page is a page table, no entry leads to it yet
    KILL_AREA_PLACED = 47      # a vmalloc area has its place, the list does not show it
    KILL_AREA_MAPPED = 48      # a page is mapped, its truth does not name its area yet
    KILL_AREA_BUILT = 49       # all pages of an area are mapped, it is not yet live
    KILL_AREA_DYING = 50       # vfree has claimed the area, its pages are still mapped
    KILL_AREA_FLUSHED = 51     # nobody uses the pages any more, none is given back yet
    KILL_AREA_EMPTY = 52       # pages given back, the area still has its place

cdef u64 *kill_armed       # point that kills the next process to pass it, 0 = none
cdef u64 *kill_hits        # [NR_KILL_POINTS] deaths at each point

cdef void kill_point_hit(u64 point) noexcept

# Where two points are near each other on a quick path: one look at what is armed serves both,
# and kill_point_hit looks again.
cdef inline u64 kill_point_armed() noexcept:
    return kill_armed[0] if kill_armed != NULL else KILL_NOWHERE

cdef inline void kill_point_of(u64 armed, u64 point) noexcept:
    if unlikely(armed == point):
        kill_point_hit(point)

cdef inline void kill_point(u64 point) noexcept:
    """Die here if a test armed this point; slow paths only, one load when none is armed."""
    if kill_armed != NULL and kill_armed[0] == point:
        kill_point_hit(point)
