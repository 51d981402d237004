"""The stress of the interrupt gate: sections of calls and of interrupts on shared words."""

from cpus.atomic cimport u32, u64

cdef enum:
    NR_ENTRIES = 16
    NR_RING = 64

cdef public struct gate_cell:      # one per CPU; no atomics: the gate alone keeps it whole
    u64 busy              # slot + 1 of the process inside a section, 0 = none
    u64 counter           # sections done
    u64 avail             # like an array_cache: entries[0..avail-1] are free objects
    u64 entries[16]
    u64 sums[8]           # like statistics
    u64 head              # like an event ring: ring[head % NR_RING] is written, then head
    u64 ring[64]

cdef public struct gate_tally:     # one per process, written by that process
    u64 sections
    u64 interrupts
    u64 overlaps          # somebody else was in the section
    u64 broken            # array or ring were not what their words say
    u64 signals
    u64 pad[3]

cdef gate_cell *cells
cdef gate_tally *tallies
cdef void section(gate_cell *c, gate_tally *t, u64 work) noexcept
