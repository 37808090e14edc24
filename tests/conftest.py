"""Shared by all tests: a run's evidence, built by hand."""

from __future__ import annotations

import pytest

from harness.testing import Story


@pytest.fixture
def story() -> Story:
    """An empty story."""
    return Story()
