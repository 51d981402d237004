"""Capabilities of the running task."""

cdef enum:
    CAP_LAST = 28            # CAP_LEASE, the last one of 2.4

cdef bint capable_inside() noexcept    # has the running task every capability? Inside a call
