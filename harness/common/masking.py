"""The variables of a drill's Deployments: which of their values may be read by whoever reads the run.

A drill file may hold secrets under ``fleet.environment``: a licence key, a connection. Its text is copied into the
journal, settings are printed in reports, and a message of the orchestrator may repeat what it was sent. So every value
is masked in all of these, unless the file names its variable under ``public-environment``. Names are always shown.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import quote

import yaml

MASK = "***"
SHORTEST = 6
"""A shorter value is masked where it stands, and not wherever the same characters occur in a message."""
SECRET_NAME = re.compile(r"_(SECRET|SECRET_KEY|PASSWORD|PASSWD|PASSPHRASE|TOKEN|KEY|CONN|CONN_ASYNC|BROKER_URL|"
                         r"RESULT_BACKEND|CREDENTIALS|WEBHOOK|DSN)$|^AIRFLOW_(CONN|VAR)_|(SECRET|PASSWORD|PASSWD|TOKEN)$")
"""Variables that hold a secret by their name."""
SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^/\s@]+@|-----BEGIN [A-Z ]*PRIVATE KEY-----")
"""A URL with a password, or a private key."""
PLACE = ("fleet", "environment")


def looks_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret, as far as its name and value tell."""
    return bool(SECRET_NAME.search(name) or SECRET_VALUE.search(value))


def matches(pattern: str, name: str) -> bool:
    """Whether a name is the one given, or begins as one that ends in ``*`` does."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


@dataclass(frozen=True)
class Variables:
    """The variables of every Deployment of a drill."""

    values: Mapping[str, str] = field(default_factory=dict, repr=False)
    public: Sequence[str] = ()
    """Names of those whose values may be shown; one that ends in ``*`` stands for all that begin so and do not look
    like secrets (:func:`looks_secret`)."""

    @cached_property
    def hidden(self) -> frozenset[str]:
        """The names of those whose values nobody may read."""
        return frozenset(name for name, value in self.values.items() if not self._is_public(name, value))

    @property
    def shown(self) -> dict[str, str]:
        """All of them, with a mask in the place of what nobody may read."""
        return {name: MASK if name in self.hidden else value for name, value in self.values.items()}

    def mask(self, text: str) -> str:
        """The text without any of the hidden values, as they are or as JSON, URLs and Kubernetes write them."""
        for form in self._forms:
            text = text.replace(form, MASK)
        return text

    def mask_file(self, text: str) -> str:
        """The drill file's text without any of the hidden values, wherever they stand in it."""
        spans = [(value.start_mark.index, value.end_mark.index) for name, value in _nodes(text)
                 if name in self.hidden]
        for start, end in sorted(spans, reverse=True):
            # A block of lines ends where the next key begins: the end of its last line stays.
            kept = len(text[start:end].rstrip())
            text = f'{text[:start]}"{MASK}"{text[start + kept:]}'
        return self.mask(text)

    def _is_public(self, name: str, value: str) -> bool:
        return name in self.public or (
            any(matches(each, name) for each in self.public) and not looks_secret(name, value))

    @cached_property
    def _forms(self) -> list[str]:
        values = {self.values[name] for name in self.hidden if len(self.values[name]) >= SHORTEST}
        # The longest first: one value may be a part of another.
        return sorted({form for value in values for form in _written(value)}, key=len, reverse=True)


def _written(value: str) -> Iterator[str]:
    """How a value may be written in a message."""
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield quote(value, safe="")
    yield base64.b64encode(value.encode(errors="replace")).decode()


def _nodes(text: str) -> Iterator[tuple[str, yaml.Node]]:
    """The variables in a drill file that was found valid, each with the node of its value."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    for part in PLACE:
        assert isinstance(node, yaml.MappingNode)
        node = next((value for key, value in node.value if key.value == part), None)
        if node is None:
            return
    assert isinstance(node, yaml.MappingNode)
    yield from ((key.value, value) for key, value in node.value)
