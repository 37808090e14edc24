"""The settings of a Deployment's Airflow without what differs from site to site by its nature.

A bucket, an address, a region's name are called otherwise in the other region, and have to be. Once the name of
what it is stands in the place of each, the settings of both regions must be the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from urllib.parse import quote

from harness.environments.base import Environment

HARNESS_OWN = {"role"}
"""Words that no setting has from an environment."""


def site_names(environment: Environment, role: str) -> dict[str, str]:
    """How things are called in a region, by what they are."""
    region = environment.regions[role]
    return {**{each.name: str(getattr(region, each.name)) for each in fields(region)
               if each.name not in HARNESS_OWN},
            **environment.workload_witness(role), **environment.workload_aws(role),
            "public_address": environment.public_address(role), "database_host": environment.database(role).host}


def neutral(here: Mapping[str, str], there: Mapping[str, str]) -> Callable[[str], str]:
    """Something that puts ``{what it is}`` in the place of what is called otherwise there than here.

    What is called the same in both is left: it must be the same.
    """
    words: dict[str, str] = {}
    for name, value in here.items():
        if value and value != there.get(name):
            words.setdefault(value, f"{{{name}}}")
            words.setdefault(quote(value, safe=""), f"{{{name}, quoted}}")
    # The longest first: a region's name is a part of a bucket's.
    pattern = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or "(?!)")
    return lambda text: pattern.sub(lambda found: words[found[0]], text)
