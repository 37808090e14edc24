"""Renderers of a result: they show what the measures found, look nothing up and decide nothing."""
