"""Handlers of forks: all of them run, but in a machine's own children."""

import subprocess
import sys

SCRIPT = """
import os
from cpus import atfork
atfork.collect()
import logging, random, threading
from cpus import host_cy

def children_state(fork):
    r, w = os.pipe()
    if fork():
        os.close(w)
        return os.read(r, 100).decode()
    lock_free = []
    take = lambda: lock_free.append(logging._lock.acquire(timeout=5))
    thread = threading.Thread(target=take)
    thread.start()
    thread.join()
    renewed = threading._active_limbo_lock is not limbo_lock
    os.write(w, f"{lock_free[0]} {renewed} {random.random() == expected}".encode())
    os._exit(0)

def ours():
    atfork.skip(True)
    number, pids = host_cy.fork_children(1)
    atfork.skip(False)
    return number < 0

limbo_lock = threading._active_limbo_lock
state = random.getstate()
expected = random.random()
random.setstate(state)
print(children_state(os.fork))
random.setstate(state)
print(children_state(ours))
"""


def test_threads_logging_and_random_work_in_children():
    # In a process of its own: this one has registered its handlers already.
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["True True False", "True False False"], done.stderr


def test_many_children_know_their_numbers():
    script = """
import os
from cpus import host_cy
r, w = os.pipe()
number, pids = host_cy.fork_children(5)
if number >= 0:
    os.write(w, b"%d" % number)
    os._exit(0)
for pid in pids:
    os.waitpid(pid, 0)
print(sorted(os.read(r, 100).decode()), len(set(pids)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "['0', '1', '2', '3', '4'] 5", done.stderr
