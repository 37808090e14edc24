"""Looks at a running environment and at what it leaves through the eyes of others: another user, a reader, an auditor.

Nothing here shares code with what it looks at, but for finding an environment's parts.
"""
