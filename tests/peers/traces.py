"""What a drill may leave on a machine, found by the kernel's own tables and by nothing of the product's."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

SHARED_MEMORY, SYSTEM_V = Path("/dev/shm"), Path("/proc/sysvipc/shm")
LISTENING = "0A"
BLOCK = re.compile(r"@dr-drill-block-127\.(\d+)")


@dataclass(frozen=True)
class Traces:
    """What there is of each kind, by its name."""

    processes: frozenset[str] = frozenset()
    ports: frozenset[str] = frozenset()
    directories: frozenset[str] = frozenset()
    shared_memory: frozenset[str] = frozenset()
    leases: frozenset[str] = frozenset()

    def since(self, before: Traces) -> Traces:
        """What has come since then."""
        return Traces(*(getattr(self, name) - getattr(before, name) for name in KINDS))

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in KINDS)

    def __str__(self) -> str:
        return "; ".join(f"{name.replace('_', ' ')}: {', '.join(sorted(found))}" for name in KINDS
                         if (found := getattr(self, name))) or "nothing"


KINDS = ("processes", "ports", "directories", "shared_memory", "leases")


@dataclass
class Places:
    """Where a drill may leave something: below its home, and at the addresses that it had."""

    home: Path
    blocks: set[int] = field(default_factory=set)

    def watch(self) -> None:
        """Remember the blocks of addresses that are leased by processes of this home."""
        inodes = {inode for pid in self._pids() for inode in _sockets_of(pid)}
        for inode, name in _unix_sockets():
            if inode in inodes and (found := BLOCK.fullmatch(name)):
                self.blocks.add(int(found[1]))

    def look(self) -> Traces:
        """What is there now."""
        return Traces(
            frozenset(f"{pid} {_title(pid)}" for pid in self._pids()), frozenset(self._ports()),
            frozenset(str(p.relative_to(self.home)) for p in self.home.glob("dr-drill/*/*")), frozenset(_segments()),
            frozenset(name for _, name in _unix_sockets()
                      if (found := BLOCK.fullmatch(name)) and int(found[1]) in self.blocks))

    def _pids(self) -> list[int]:
        """Processes with this home in their environment block, or in their working directory."""
        home, found = os.fsencode(self.home), []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                directory = os.fsencode(os.readlink(f"/proc/{entry}/cwd"))
                block = Path(f"/proc/{entry}/environ").read_bytes()
            except OSError:
                continue
            if directory.startswith(home + b"/") or home in block:
                found.append(int(entry))
        return found

    def _ports(self) -> list[str]:
        found = []
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            address, state = line.split()[1], line.split()[3]
            number, port = address.split(":")
            octets = bytes.fromhex(number)[::-1]
            if state == LISTENING and octets[0] == 127 and octets[1] in self.blocks:
                found.append(".".join(map(str, octets)) + f":{int(port, 16)}")
        return found


def _sockets_of(pid: int) -> set[str]:
    found = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
            if target.startswith("socket:["):
                found.add(target[len("socket:["):-1])
    except OSError:
        pass
    return found


def _unix_sockets() -> list[tuple[str, str]]:
    """Inode and name of each Unix socket that has one."""
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return [(row[6], row[7]) for row in rows if len(row) > 7]


def _segments() -> list[str]:
    """Shared memory of both kinds; of the older one what nobody has attached."""
    names, *rows = [line.split() for line in SYSTEM_V.read_text().splitlines()]
    told = [dict(zip(names, row, strict=False)) for row in rows]
    return [f"shm {each['shmid']} of {each['cpid']}" for each in told if each["nattch"] == "0"] + \
        [str(SHARED_MEMORY / name) for name in os.listdir(SHARED_MEMORY)]


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:60].strip()
    except OSError:
        return "?"
