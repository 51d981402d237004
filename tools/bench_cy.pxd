"""Compiled loops of the benchmarks, and the pair of calls that do nothing."""

from cpus.atomic cimport u32, u64

# Called through volatile pointers: gcc leaves a pair of malloc and free out otherwise.
ctypedef void *(*malloc_function)(size_t) noexcept
ctypedef void (*free_function)(void *) noexcept

cdef extern from *:
    """
    #include <stdlib.h>
    static void *(*volatile smpmm_malloc)(size_t) = malloc;
    static void (*volatile smpmm_free)(void *) = free;
    """
    malloc_function smpmm_malloc
    free_function smpmm_free
