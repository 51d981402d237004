"""What is registered with the kernel: modules, devices, open files, /proc entries."""

from cpus.atomic cimport s64, u32, u64
from cpus.spinlock_cy cimport spinlock

cdef enum:
    NR_MODULES = 64
    NR_CHUNKS = 32         # of a module's static data
    NR_MAJORS = 256
    NR_FILES = 2048
    NR_PROC = 256
    NR_NODES = 256

    RECORD_FREE = 0
    RECORD_COMING = 1      # being made by `owner`
    RECORD_LIVE = 2
    RECORD_GOING = 3       # being taken down by `owner`

    MOD_USED_ONCE = 1

cdef public struct data_chunk:     # pages of a module's static data
    u64 address            # kernel address, 0 = none
    u32 order
    u32 used               # bytes handed out

cdef public struct module_record:
    u64 state              # RECORD_*; its store commits
    u64 owner              # owner word of the process that loads or unloads it
    u64 serial             # never used again; 0 = free
    s64 usecount           # atomic; uses beside its open files, also below 0
    u64 flags
    u64 size               # bytes: code and static data
    u64 code               # text entry + 1 of the namespace's snapshot
    data_chunk chunks[32]
    char name[64]
    char file[256]

cdef public struct chrdev_record:
    u64 state
    u64 fops               # kernel address of a file_operations
    u64 serial             # of the module, 0 = none
    char name[32]

cdef public struct file_record:
    u64 state
    u64 owner              # who must close it: pid of a task, or an open of a client
    u64 generation         # how often this record has been used
    u64 f_pos              # the open file's; whoever is in a system call on it
    u64 f_flags
    u64 private_data
    u64 i_rdev
    u64 fops
    u64 serial             # of the module whose use count it holds

cdef public struct proc_record:
    u64 state
    u64 read_proc          # text address
    u64 data
    u64 mode
    u64 serial
    char name[64]

cdef public struct node_record:
    u64 state
    u64 i_rdev
    char path[112]

cdef public struct registry_header:
    spinlock lock          # guards the claiming and releasing of records
    u64 next_serial
    u64 nr_opens           # atomic

cdef registry_header *registry
cdef module_record *modules        # [NR_MODULES]
cdef chrdev_record *chrdevs        # [NR_MAJORS]
cdef file_record *open_files       # [NR_FILES]
cdef proc_record *procs            # [NR_PROC]
cdef node_record *dev_nodes        # [NR_NODES]
