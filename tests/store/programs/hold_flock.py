"""Takes the flock of the file named, writes a note into it, says so, and waits to be killed."""

import fcntl
import signal
import sys
from pathlib import Path

with Path(sys.argv[1]).open("r+b", buffering=0) as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write(b"the holder's own")
    print("held", flush=True)
    signal.pause()
