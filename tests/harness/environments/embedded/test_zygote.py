"""The socket from which a node gets its warm process is its owner's alone."""

import os
import socket
import stat
from pathlib import Path

import pytest

from harness.environments.embedded.node.zygote import is_ours, private_listener


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_nobody_else_can_connect_whatever_the_shells_umask_is(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        listener = private_listener(tmp_path / "image.sock")
        kept = os.umask(umask)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "image.sock").stat().st_mode) == 0o600
    assert kept == umask
    listener.close()


def connected_as(path: Path, user: int) -> bool:
    """Whether a connection of another user counts as ours (the socket's mode opened, so that it gets so far)."""
    listener = private_listener(path)
    path.chmod(0o666)
    child = os.fork()
    if child == 0:
        try:
            if user:
                os.setresuid(user, user, user)
            with socket.socket(socket.AF_UNIX) as caller:
                caller.connect(str(path))
                caller.recv(1)
        finally:
            os._exit(0)
    listener.settimeout(10)
    channel, _ = listener.accept()
    try:
        return is_ours(channel)
    finally:
        channel.close()
        listener.close()
        os.waitpid(child, 0)


def test_our_own_agent_is_ours(tmp_path: Path) -> None:
    assert connected_as(tmp_path / "s", 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_another_user_is_not_even_if_it_gets_to_the_socket() -> None:
    import shutil
    import tempfile

    place = Path(tempfile.mkdtemp(prefix="drill-socket-"))
    place.chmod(0o711)
    try:
        assert not connected_as(place / "s", 65534)
    finally:
        shutil.rmtree(place)
