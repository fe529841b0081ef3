"""LUKS headers as somebody who can write the image, but has no key, may edit them: the checksum is right afterwards."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

_HEAD = 4096


def edit_luks2(image: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the JSON of both copies of a LUKS2 header."""
    with image.open("r+b") as file:
        size = struct.unpack_from(">Q", file.read(16), 8)[0]
        for at in (0, size):
            file.seek(at)
            head, text = bytearray(file.read(_HEAD)), file.read(size - _HEAD)
            data = json.loads(text.partition(b"\0")[0])
            change(data)
            text = json.dumps(data).encode().ljust(size - _HEAD, b"\0")
            head[448:512] = bytes(64)
            head[448:480] = hashlib.sha256(bytes(head) + text).digest()
            file.seek(at)
            file.write(bytes(head) + text)


def null_cipher(data: dict[str, Any]) -> None:
    """The content is not encrypted any more; the key opens it as before."""
    data["segments"]["0"]["encryption"] = "cipher_null-ecb"


def edit_luks1(image: Path, *, cipher: bytes = b"aes", mode: bytes = b"xts-plain64") -> None:
    """Change the cipher that a LUKS1 header names."""
    with image.open("r+b") as file:
        file.seek(8)
        file.write(cipher.ljust(32, b"\0") + mode.ljust(32, b"\0"))
