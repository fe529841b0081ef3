"""What an SMB server says about itself before anyone logs in, asked of a real Samba on loopback."""

from __future__ import annotations

import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapmirror.errors import StorageError
from snapmirror.tools import smb
from tests.support.samba import samba_running
from tests.support.sshd import free_port


def test_a_server_tells_what_it_is(tmp_path: Path) -> None:
    with samba_running(tmp_path / "samba", tmp_path / "storage") as server:
        told = smb.ask("127.0.0.1", server.port)
        assert (told.dialect, told.encrypts, told.is_new_enough) == ("3.1.1", True, True)
        assert abs(told.time - datetime.now(UTC)) < timedelta(minutes=5)
        server.stop()
        settings = server.settings.read_text()
        server.settings.write_text(settings.replace("encrypt = required", "encrypt = off"))
        server.start()
        assert not smb.ask("127.0.0.1", server.port).encrypts
        server.stop()
        old = settings.replace("min protocol = SMB3_11", "min protocol = SMB2_02\nserver max protocol = SMB3_02")
        server.settings.write_text(old)
        server.start()
        told = smb.ask("127.0.0.1", server.port)
        assert (told.dialect, told.encrypts, told.is_new_enough) == ("3.0.2", True, False)


def test_nobody_there() -> None:
    with pytest.raises(StorageError, match="does not answer"):
        smb.ask("127.0.0.1", free_port())
    with pytest.raises(StorageError, match="is not known here"):
        smb.ask("no-such-host.invalid", 445)


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n" * 100, b"\0\0\0\x08abcdefgh", b"\0\0\0\x50" + bytes(80)])
def test_something_else_there(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(StorageError, match=r"does not (answer|speak)"):
            smb.ask("127.0.0.1", listening.getsockname()[1])
        thread.join()
