"""The debugging build of the slab allocator. Inside a kernel call."""

from cpus.atomic cimport u8, u32, u64
from smpmm.mm.slab_list_cy cimport array_cache, kmem_cache, slab

cdef enum:
    RED_INACTIVE = 0x5a2cf071    # RED_MAGIC1 of 2.4: around a free object
    RED_ACTIVE = 0x170fc2a5      # RED_MAGIC2: around an allocated one
    POISON_BYTE = 0x5a
    POISON_END = 0xa5            # the last byte of a free object

    DAMAGE_BEFORE = 1            # the red zone before the object
    DAMAGE_BEHIND = 2
    DAMAGE_INSIDE = 4            # a free object's poison

cdef public struct object_user:          # one for each truth word
    # only whoever the truth gives the object to; a reader compares before and after
    u64 allocated                # as the truth said: slot, call site, pid; 0 = never
    u64 freed
    u64 allocated_ns             # machine_ns()
    u64 freed_ns
    u64 verified_ns              # when it was last found whole, 0 = when its slab was made

cdef object_user *users          # as `truths`; NULL: not built with DEBUG
cdef u8 *users_backed

cdef int damage_of(kmem_cache *c, u64 phys, bint active) noexcept
cdef void set_red_zones(kmem_cache *c, u64 phys, u64 value) noexcept
cdef u64 red_word(kmem_cache *c, u64 phys) noexcept
cdef void settle(kmem_cache *c, u64 phys) noexcept
cdef bint prepare_slab(kmem_cache *c, slab *s) noexcept
cdef bint slab_whole(kmem_cache *c, slab *s) noexcept
cdef int verify_object(kmem_cache *c, slab *s, u32 nr) noexcept

cdef u32 claim_top(array_cache *ac) noexcept
cdef u32 claim_free(kmem_cache *c) noexcept
cdef u64 hand_out(kmem_cache *c, u32 truth, u32 site) except? 0
cdef int report_free_object(kmem_cache *c, slab *s, u64 phys, u32 truth, u32 site) except -1
cdef u64 debug_alloc(kmem_cache *c, u64 gfp, u32 site) except? 0
cdef int debug_free(slab *s, u64 phys, u64 truth, u64 was, u32 site) noexcept
cdef int before_free(u64 address) except -1
