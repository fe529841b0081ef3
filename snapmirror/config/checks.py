"""The rules of the configuration that concern more than one value.

They check the raw tables, not the models, so that they also report when other values are wrong: the user sees all
problems at once. They skip values of a wrong type, which the models report.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from snapmirror.config.copy import copy_checks
from snapmirror.config.export import export_checks
from snapmirror.config.host import host_checks
from snapmirror.config.share import Location, Table, share_checks
from snapmirror.config.source import Address, parse_source
from snapmirror.config.values import parse_size

SSH_ONLY = ("port", "identity", "jump_host", "known_hosts", "rsync_path")
DAEMON_ONLY = ("password_file",)
_SMALLEST_IMAGE = 512 << 20  # mkfs.xfs refuses less than 300 MiB; LUKS2 takes 16 MiB of it


def cross_checks(data: Table) -> Iterator[tuple[Location, str]]:
    """Every broken rule, with its place."""
    store, image = _table(data, "store"), _table(data, "image")
    if store.get("path") == "/":
        yield ("store", "path"), "the root of this machine cannot be the store; name a folder"
    yield from share_checks(data)
    yield from copy_checks(data)
    yield from export_checks(data)
    if "image" in data:
        yield from _image(image)
        yield from _places(store, image)
    yield from _zfs(store, _table(data, "zfs"), image if "image" in data else None)
    yield from host_checks(data)
    yield from _names(_mirrors(data))
    for index, mirror in enumerate(_mirrors(data)):
        for key, problem in _mirror(mirror, store):
            yield ("mirror", index, key), problem
        if store.get("backend", "hardlink") == "zfs" and _table(mirror, "verify").get("heal", "off") == "auto":
            yield ("mirror", index, "verify", "heal"), "snapshots of ZFS cannot be healed; a pool heals itself"


def _image(image: Table) -> Iterator[tuple[Location, str]]:
    encryption = image.get("encryption", "luks2")
    keys = [key for key in ("key_file", "key_command") if key in image]
    if encryption == "none":
        for key in (*keys, *(["header_backup"] if "header_backup" in image else [])):
            yield ("image", key), 'encryption is "none", so this has no use; take one of them out'
    elif encryption in ("luks1", "luks2"):
        if not keys:
            yield ("image", "key_file"), "an encrypted image needs a key: name its key_file or a key_command"
        if len(keys) > 1:
            yield ("image", "key_command"), "key_file is given as well; name only one of them"
        if "header_backup" not in image:
            yield (
                ("image", "header_backup"),
                "an encrypted image needs a place for the backup of its LUKS header; without a header all is lost",
            )
    try:
        size = parse_size(image.get("size"))
    except ValueError:
        return
    if size < _SMALLEST_IMAGE:
        yield ("image", "size"), "an image needs at least 512M"


def _places(store: Table, image: Table) -> Iterator[tuple[Location, str]]:
    mount_point = _path(store.get("path"))
    if mount_point is None:
        return
    for section, table, key in (
        ("image", image, "file"), ("image", image, "key_file"), ("image", image, "header_backup"),
        ("store", store, "state_dir"),
    ):  # fmt: skip
        path = _path(table.get(key))
        if path is not None and path.is_relative_to(mount_point):
            reason = "which hides it as soon as the image is mounted there"
            yield (section, key), f"{path} lies inside store.path {mount_point}, {reason}; put it elsewhere"
    files = {key: _path(image.get(key)) for key in ("file", "key_file", "header_backup")}
    for key in ("key_file", "header_backup"):
        if files[key] is not None and files[key] == files["file"]:
            yield ("image", key), "this is the image itself; name another file"
    if files["key_file"] is not None and files["key_file"] == files["header_backup"]:
        yield ("image", "header_backup"), "this is the key file; name another file"


def _zfs(store: Table, zfs: Table, image: Table | None) -> Iterator[tuple[Location, str]]:
    if store.get("backend", "hardlink") != "zfs":
        if store.get("backend", "hardlink") == "hardlink":
            for key in zfs:
                yield ("zfs", key), 'this has no use unless backend = "zfs" in [store]'
            if image is not None and image.get("filesystem") == "zfs":
                yield ("image", "filesystem"), 'zfs needs backend = "zfs" in [store]'
        return
    if image is not None and image.get("filesystem", "zfs") in ("xfs", "ext4"):
        yield ("image", "filesystem"), 'with backend = "zfs" the image holds a pool; take this out'
    places = [name for name, given in (("[image]", image is not None), *((f"{key} in [zfs]", key in zfs) for key in
              ("devices", "dataset"))) if given]  # fmt: skip
    if not places:
        yield ("zfs",), "the pool has no place: give [image], or devices or dataset in [zfs]"
    elif len(places) > 1:
        yield ("zfs",), f"the pool can have one place only, but there are {' and '.join(places)}"
    if "dataset" in zfs and "pool" in zfs:
        yield ("zfs", "pool"), "dataset already names the pool; take one of them out"
    yield from _layout(zfs)
    yield from _zfs_key(store, zfs, image)


def _layout(zfs: Table) -> Iterator[tuple[Location, str]]:
    devices = zfs.get("devices")
    count = len(devices) if isinstance(devices, list) else 0
    if "devices" in zfs and not count:
        yield ("zfs", "devices"), "name at least one disk"
    least = {"mirror": 2, "raidz1": 2, "raidz2": 3}.get(str(zfs.get("layout")), 1)
    if "layout" in zfs and not count:
        yield ("zfs", "layout"), "this says how several devices make up the pool, but there are no devices"
    elif count > 1 and "layout" not in zfs:
        yield ("zfs", "layout"), 'say how the devices make up the pool: "mirror", "raidz1", "raidz2" or "stripe"'
    elif 0 < count < least:
        yield ("zfs", "layout"), f"{zfs['layout']} needs at least {least} devices"


def _zfs_key(store: Table, zfs: Table, image: Table | None) -> Iterator[tuple[Location, str]]:
    keys = [key for key in ("key_file", "key_command") if key in zfs]
    if zfs.get("encryption", "none") == "none":
        for key in keys:
            yield ("zfs", key), 'encryption in [zfs] is "none", so this has no use; take one of them out'
        return
    if image is not None and image.get("encryption", "luks2") != "none":
        yield ("zfs", "encryption"), 'the image is encrypted already; set encryption = "none" in [image], or here'
    if not keys:
        yield ("zfs", "key_file"), "native encryption needs a passphrase: name its key_file or a key_command"
    if len(keys) > 1:
        yield ("zfs", "key_command"), "key_file is given as well; name only one of them"
    key_file, mount_point = _path(zfs.get("key_file")), _path(store.get("path"))
    if key_file is not None and mount_point is not None and key_file.is_relative_to(mount_point):
        yield ("zfs", "key_file"), f"{key_file} lies inside store.path {mount_point}, which needs it; put it elsewhere"


def _names(mirrors: list[Table]) -> Iterator[tuple[Location, str]]:
    seen: dict[str, str] = {}
    for index, mirror in enumerate(mirrors):
        name = mirror.get("name")
        if not isinstance(name, str):
            continue
        before = seen.setdefault(name.lower(), name)
        if any(isinstance(m.get("name"), str) and m["name"].lower() == name.lower() for m in mirrors[:index]):
            what = f'"{name}"' if before == name else f'"{before}" (Windows does not tell the two apart)'
            yield ("mirror", index, "name"), f"an earlier mirror is already called {what}; choose another name"


def _mirror(mirror: Table, store: Table) -> Iterator[tuple[str, str]]:
    try:
        source = parse_source(mirror.get("source"))
    except ValueError:
        return  # the models report it
    kinds = {"ssh": "goes over ssh", "daemon": "is an rsync daemon", "local": "is a local folder"}
    for kind, keys in (("ssh", SSH_ONLY), ("daemon", DAEMON_ONLY)):
        for key in keys:
            if key in mirror and source.kind != kind:
                yield key, f"this is for sources that {_plural(kinds[kind])}, but {source} {kinds[source.kind]}"
    if source.port and "port" in mirror:
        yield "port", "the source names a port already; name it once"
    yield from _local(source, _path(store.get("path")))
    lower, upper = mirror.get("min_size"), mirror.get("max_size")
    try:
        if lower is not None and upper is not None and parse_size(lower) > parse_size(upper):
            yield "min_size", "min_size is larger than max_size, so no file would be taken"
    except ValueError:
        return


def _local(source: Address, store: Path | None) -> Iterator[tuple[str, str]]:
    if source.kind == "local" and store is not None and Path(source.path).is_relative_to(store):
        yield "source", f"{source.path} lies inside the store {store}; a store cannot mirror itself"


def _plural(verb: str) -> str:
    return {"goes over ssh": "go over ssh", "is an rsync daemon": "are rsync daemons"}[verb]


def _table(data: Table, key: str) -> Table:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _mirrors(data: Table) -> list[Table]:
    value = data.get("mirror")
    return [entry if isinstance(entry, dict) else {} for entry in value] if isinstance(value, list) else []


def _path(value: Any) -> Path | None:
    try:
        return Path(value).expanduser() if isinstance(value, str | Path) and str(value) else None
    except RuntimeError:
        return None
