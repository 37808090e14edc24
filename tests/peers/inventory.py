"""What an environment is made of: files, listening sockets, processes. Read from ``/proc``, as root or its owner."""

from __future__ import annotations

import json
import os
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path

LISTEN, UNCONNECTED = "0A", "07"


@dataclass
class Inventory:
    """All that there is to try."""

    directory: Path
    run: Path | None = None
    """The run directory that it serves."""
    paths: list[str] = field(default_factory=list)
    listeners: list[tuple[str, int]] = field(default_factory=list)
    """TCP: address and port."""
    datagrams: list[tuple[str, int]] = field(default_factory=list)
    unix: list[str] = field(default_factory=list)
    processes: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    """Ids of System V shared-memory segments."""


def take(directory: Path) -> Inventory:
    """The inventory of an environment."""
    made = Inventory(directory)
    state = _state(directory)
    if state.get("run"):
        made.run = Path(state["run"])
    made.processes = sorted(_marked(directory) | _family(state.get("owner")))
    inodes = set().union(*map(_inodes, made.processes)) if made.processes else set()
    for table in ("tcp", "tcp6"):
        made.listeners += _ends(table, LISTEN, inodes)
    for table in ("udp", "udp6"):
        made.datagrams += _ends(table, UNCONNECTED, inodes)
    made.unix = _unix(inodes)
    made.segments = _segments(set(made.processes))
    roots = [directory.parent.parent, *([made.run] if made.run is not None else [])]
    own = {path for root in roots for path in _below(root, directory)}
    # What its harness prints into was opened by whoever started it.
    own |= {path for pid in made.processes for path in _open_for_writing(pid, given=3 if pid == state.get("owner") else 0)}
    made.paths = sorted(own)
    return made


def _state(directory: Path) -> dict[str, str | int]:
    try:
        return dict(json.loads((directory / "environment.json").read_text()))
    except (OSError, ValueError):
        return {}


def _marked(directory: Path) -> set[int]:
    """Processes that have the environment's mark, or work below its directory."""
    found, mark = set(), f"={directory}:".encode()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            place = os.readlink(f"/proc/{entry}/cwd")
            if place == str(directory) or place.startswith(f"{directory}/") or (
                    mark in Path(f"/proc/{entry}/environ").read_bytes()):
                found.add(int(entry))
        except OSError:
            continue
    return found


def _family(owner: object) -> set[int]:
    """A process and all that it started."""
    if not isinstance(owner, int) or not Path(f"/proc/{owner}").exists():
        return set()
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                parents[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
    family = {owner}
    while more := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _below(root: Path, directory: Path) -> set[str]:
    """A place and all that is in it, but for what is in other environments."""
    found = {str(root)} if os.path.lexists(root) else set()
    for place, directories, files in os.walk(root):
        found.update(f"{place}/{name}" for name in (*directories, *files))
        if Path(place).name == directory.parent.name:
            directories[:] = [name for name in directories if Path(place, name) == directory]
    return found


def _open_for_writing(pid: int, given: int) -> set[str]:
    """Files that a process writes, and shared memory that it maps, wherever they are; but for its first ones."""
    found = set()
    try:
        for fd in (fd for fd in os.listdir(f"/proc/{pid}/fd") if int(fd) >= given):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            flags = int(Path(f"/proc/{pid}/fdinfo/{fd}").read_text().split("flags:")[1].split()[0], 8)
            if target.startswith("/") and flags & os.O_ACCMODE and not target.startswith(("/dev/null", "/dev/pts", "/proc")):
                found.add(target)
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            if "/dev/shm/" in line:
                found.add(line[line.index("/dev/shm/"):])
    except OSError:
        pass
    return {path for path in found if os.path.lexists(path)}


def _inodes(pid: int) -> set[str]:
    found = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def _ends(table: str, state: str, inodes: set[str]) -> list[tuple[str, int]]:
    found = []
    for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
        parts = line.split()
        if parts[3] == state and parts[9] in inodes:
            host, port = parts[1].split(":")
            found.append((_address(host), int(port, 16)))
    return sorted(set(found))


def _address(text: str) -> str:
    raw = b"".join(struct.pack("=I", int(text[i:i + 8], 16)) for i in range(0, len(text), 8))
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def _unix(inodes: set[str]) -> list[str]:
    """Names of listening or datagram sockets; one that begins with ``@`` is abstract and in no file system."""
    found = set()
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        parts = line.split(maxsplit=7)
        if len(parts) == 8 and parts[6] in inodes and parts[5] == "01":
            found.add(parts[7])
    return sorted(found)


def _segments(pids: set[int]) -> list[int]:
    """Those that one of the processes made."""
    return [int(parts[1]) for parts in map(str.split, Path("/proc/sysvipc/shm").read_text().splitlines()[1:])
            if int(parts[4]) in pids or int(parts[5]) in pids]
