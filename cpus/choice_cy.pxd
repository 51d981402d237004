"""The one function that every choice is asked of which the program does not determine."""

from cpus.atomic cimport u64

cdef enum:
    # indexes of words in task_struct, like event_cy.TASK_PID_WORD: tasks stand above this
    TASK_ASKED_WORD = 15
    TASK_MAKE_IT_FAIL_WORD = 16
    TASK_FAULTS_WORD = 17

# A number below `bound` (not 0). `point` names the choice; `nth` gets how often this context
# has asked, from 0. Inside a call.
cdef u64 choose(const char *point, u64 bound, u64 *nth) noexcept
# The same; `count` is who asks's own count of its askings at this point, incremented.
cdef u64 choose_counted(const char *point, u64 bound, u64 *count) noexcept
cdef u64 answer(const char *point, u64 bound, u64 who, u64 nth) noexcept
cdef u64 mix(u64 word) noexcept
cdef u64 *choice_counts          # [NR_SLOTS]: what a process asked outside of tasks
