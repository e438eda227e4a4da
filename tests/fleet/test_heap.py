"""What visits left free goes back to the machine."""

import subprocess
import sys

_PROGRAM = """
import re, threading
from mtughost.fleet.heap import tidy, use_one_heap

def resident_kb():
    with open("/proc/self/status") as text:
        return int(re.search(r"VmRSS:\\s+(\\d+)", text.read())[1])

use_one_heap()
kept = []

def visit():
    answers = [bytes(3000 + n % 1000) for n in range(20_000)]
    kept.append(answers[-1])  # on top of the heap: nothing below it goes back by itself

before = resident_kb()
visits = [threading.Thread(target=visit) for _ in range(4)]
for thread in visits:
    thread.start()
for thread in visits:
    thread.join()
left = resident_kb() - before
tidy()
print(left, resident_kb() - before)
"""


def test_what_threads_left_free_below_what_is_kept_is_given_back():
    argv = [sys.executable, "-P", "-c", _PROGRAM]
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    left_kb, still_kb = map(int, said.split())

    assert left_kb > 20_000
    assert still_kb < left_kb / 10
