"""Which processes listen: of a tree of them, by what the kernel says of sockets."""

from pathlib import Path

LISTENS = "0A"
"""State of a TCP socket that takes connections, in /proc/net/tcp."""


def family(pid):
    """A process and all that have come of it, as process ids."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def addresses(pids):
    """Addresses, as the kernel writes them in hexadecimal, on which one of the processes ``pids`` listens."""
    sockets = {}
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS:
                sockets[f"socket:[{fields[9]}]"] = fields[1].partition(":")[0]
    found = set()
    for pid in pids:
        try:
            held = [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        found |= {sockets[name] for name in held if name in sockets}
    return found
