"""Whom a drill asks to fail over."""
