"""Changes to a drill file that leave most of it as it was, so that what comes of it gets far into the loader."""

from __future__ import annotations

import random
import re
from functools import cache

from tests.fuzz.seeds import seeds

VALUES = (
    b"true", b"null", b"-1", b"0", b"1.5", b"1e999", b"0s", b"30s", b"500ms", b"999h", b"1:30", b"0x10", b"2024-99-99", b"''", b"[]",
    b"{}", b"[x]", b"{a: b}", b"&a x", b"*a", b"!!int x", b"primary", b"secondary", b"global", b"outside", b"users",
    b"orchestrator", b"refused", b"up", b"unhealthy", b"commits-wait", b"drift-repaired", b"XR-13", b"DP-01",
    b"us-east-1", b"\"\\u202e\"", b"\"a\\nb\"", b"9" * 30, b"\xef\xbc\x90s", b"64KiB/s", b"0B/s", b"inflate:in")
PHASES = (
    b"  - fault: {region-outage: {region: primary}}", b"  - fault: {region-outage: {region: secondary}}",
    b"  - fault: {partition: {region: secondary, from: outside}}", b"  - fault: {manual-drift: {region: primary}}",
    b"  - fault: {link: {from: users, to: primary, delay: 1s}}", b"  - fault: {api-outage: {site: primary, services: [rds]}}",
    b"  - fault: {orchestrator-crash: {at: [inflate:in]}}", b"  - failover: {}", b"  - failover: {planned: true}",
    b"  - failover: {expect: refused}", b"  - failback:", b"  - heal: {region: primary}", b"  - heal: {region: secondary}",
    b"  - settle: {}", b"  - hold: {for: 5s, expect: up}", b"  - hold: {for: 5s, expect: commits-wait}", b"  - load: {}")
_VALUE = re.compile(rb"(?<=[:\[,] )[^\s,{}\[\]]+")
_KEY = re.compile(rb"[\w-]+(?=:)")


@cache
def _lines() -> tuple[bytes, ...]:
    return tuple({line for seed in seeds() for line in seed.split(b"\n") if len(line) < 200})


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to three changes: of a line, a phase, a value, a key, a byte."""
    for _ in range(chance.randint(1, 3)):
        data = chance.choice((_line, _line, _phase, _phase, _value, _value, _key, _byte))(data, chance)
    return data


def _line(data: bytes, chance: random.Random) -> bytes:
    """Drop, repeat, indent, move or put in a line."""
    lines = data.split(b"\n")
    at = chance.randrange(len(lines))
    match chance.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines[at] = b" " * chance.randint(1, 3) + lines[at]
        case 3:
            lines.insert(chance.randrange(len(lines)), lines.pop(at))
        case _:
            lines.insert(at, chance.choice(_lines()))
    return b"\n".join(lines)


def _phase(data: bytes, chance: random.Random) -> bytes:
    """Put in a phase after another one."""
    lines = data.split(b"\n")
    places = [at for at, line in enumerate(lines) if line.lstrip().startswith(b"- ")] or [len(lines) - 1]
    lines.insert(chance.choice(places) + 1, chance.choice(PHASES))
    return b"\n".join(lines)


def _value(data: bytes, chance: random.Random) -> bytes:
    return _replace(data, _VALUE, chance.choice(VALUES), chance)


def _key(data: bytes, chance: random.Random) -> bytes:
    return _replace(data, _KEY, chance.choice(_KEY.findall(chance.choice(_lines())) or [b"x"]), chance)


def _byte(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    return data[:at] + bytes([chance.choice(b"\x00\t\r\n :-{}[],&*!|>'\"%@`\\\x85\xff~#?" + data[:40])]) + data[at + chance.randint(0, 1):]


def _replace(data: bytes, pattern: re.Pattern[bytes], new: bytes, chance: random.Random) -> bytes:
    found = list(pattern.finditer(data))
    if not found:
        return data + new
    one = chance.choice(found)
    return data[:one.start()] + new + data[one.end():]
