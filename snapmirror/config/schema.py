"""The configuration, declared once.

Type, sentence and example of every option stand here and nowhere else; the sample file, the reference, the JSON schema
and the error messages are made from them. Rules between options are in `checks`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema

from snapmirror.config.copy import CopyConfig
from snapmirror.config.export import ExportConfig
from snapmirror.config.guard import GuardConfig
from snapmirror.config.host import HostConfig
from snapmirror.config.retention import RetentionConfig
from snapmirror.config.section import SHOWN, Section
from snapmirror.config.share import MOUNT_POINT, parse_unc
from snapmirror.config.source import Address, parse_jump_host, parse_source
from snapmirror.config.values import (
    AbsolutePath,
    Bool,
    Count,
    DatasetName,
    Days,
    Duration,
    FileName,
    FilePattern,
    MirrorName,
    OptionalSize,
    PoolName,
    Port,
    Positive,
    RecordSize,
    Seconds,
    Size,
    Text,
)
from snapmirror.config.verify import VerifyConfig
from snapmirror.errors import UsageError

SourceField = Annotated[
    Address, PlainValidator(parse_source), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string"})
]
Unc = Annotated[str, BeforeValidator(parse_unc)]
JumpHost = Annotated[Text, AfterValidator(parse_jump_host)]


def default_state_dir() -> Path:
    """Where locks and copies of reports are kept when the configuration does not set it."""
    if os.geteuid() == 0:
        return Path("/var/lib/snapmirror")
    base = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(base).expanduser() / "snapmirror"


class StoreConfig(Section):
    """Where the snapshots are kept."""

    path: AbsolutePath = Field(
        description="Folder of the snapshots. With [image] it is the place where the image is mounted.",
        examples=["/srv/snapmirror"],
    )
    backend: Literal["hardlink", "zfs"] = Field(
        default="hardlink",
        description="How history is kept. hardlink: plain folders that share their unchanged files; zfs: snapshots of "
        "ZFS, which share unchanged blocks.",
        examples=["hardlink"],
    )
    state_dir: AbsolutePath = Field(
        default_factory=default_state_dir,
        description="Locks, copies of the reports, and the list of the newest snapshots. Default for users other than "
        "root: ~/.local/state/snapmirror.",
        examples=["/var/lib/snapmirror"],
    )
    keep_names: Bool = Field(
        default=True,
        description="Copy the manifests of an image or a pool to state_dir, so that list, find, ls and diff work while "
        "a run uses the store. A plain folder needs no copy.",
        examples=[True],
    )


class ShareConfig(Section):
    """The SMB share that holds the image: mounted for the time of a run. Without this section the image is local."""

    unc: Unc = Field(description="The share, or a folder on it.", examples=["//winhost/backup"])
    credentials: AbsolutePath = Field(
        description="File with the lines username=, password= and, for an account of a domain, domain=; mode 600.",
        examples=["/etc/snapmirror/smb.cred"],
    )
    port: Port = Field(default=445, description="TCP port of the server.", examples=[445])
    mount_point: AbsolutePath = Field(
        default=MOUNT_POINT,
        description="Where the share is mounted during a run; made when missing.",
        examples=[str(MOUNT_POINT)],
    )
    lost_after_seconds: Positive = Field(
        default=300,
        description="A run waits this long for a server that does not answer, then it ends.",
        examples=[300],
    )


class ImageConfig(Section):
    """One sparse file that holds the store. Without this section the store is a plain folder."""

    file: AbsolutePath = Field(
        description='The image file, not inside store.path; with [share] its name on the share, like "snapmirror.img".',
        examples=["/var/backups/snapmirror.img"],
    )
    size: Size = Field(
        description="Its size as the file system inside sees it; the file takes only what is used.", examples=["150G"]
    )
    filesystem: Literal["xfs", "ext4", "zfs"] = Field(
        default="xfs",
        description='File system inside: xfs (no inode limit, shares blocks) or ext4. With backend = "zfs" it is zfs.',
        examples=["xfs"],
    )
    encryption: Literal["luks2", "luks1", "none"] = Field(
        default="luks2",
        description="luks2; luks1 also opens where the kernel has no dm-crypt; none.",
        examples=["luks2"],
        json_schema_extra={**SHOWN},
    )
    key_file: AbsolutePath | None = Field(
        default=None,
        description="File that holds the key, readable by its owner only. Its bytes are the key, all of them.",
        examples=["/etc/snapmirror/image.key"],
        json_schema_extra={**SHOWN},
    )
    key_command: Annotated[tuple[Text, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Instead of key_file: a program that prints the key, as a list of words.",
        examples=[["/usr/local/bin/fetch-key", "snapmirror"]],
    )
    header_backup: AbsolutePath | None = Field(
        default=None,
        description="With encryption: copy of the LUKS header, made by init. Keep it elsewhere too: without a header "
        "all is lost.",
        examples=["/etc/snapmirror/image.luks-header"],
        json_schema_extra={**SHOWN},
    )


class ZfsConfig(Section):
    """The pool of backend = "zfs": in the image where there is [image], else on `devices` or in a `dataset`."""

    pool: PoolName = Field(
        default="snapmirror", description="Name of the pool that init makes.", examples=["snapmirror"]
    )
    devices: tuple[AbsolutePath, ...] = Field(
        default=(),
        description="Empty disks for a pool of snapmirror's own, instead of an image.",
        examples=[["/dev/disk/by-id/ata-DISK_1", "/dev/disk/by-id/ata-DISK_2"]],
    )
    layout: Literal["stripe", "mirror", "raidz1", "raidz2"] | None = Field(
        default=None,
        description="How several disks make up the pool: stripe, mirror, raidz1 or raidz2.",
        examples=["mirror"],
    )
    dataset: DatasetName | None = Field(
        default=None,
        description="An existing dataset in your pool: the store is made below it, nothing else is touched.",
        examples=["tank/backup"],
    )
    encryption: Literal["none", "native"] = Field(
        default="none",
        description="native: ZFS encrypts by itself (names of datasets and snapshots stay readable).",
        examples=["none"],
    )
    key_file: AbsolutePath | None = Field(
        default=None,
        description="native: file that holds the passphrase in one line, readable by its owner only.",
        examples=["/etc/snapmirror/zfs.key"],
    )
    key_command: Annotated[tuple[Text, ...], Field(min_length=1)] | None = Field(
        default=None,
        description="Instead of key_file: a program that prints the passphrase, as a list of words.",
        examples=[["/usr/local/bin/fetch-key", "snapmirror"]],
    )
    compression: Literal["lz4", "zstd", "off"] = Field(
        default="lz4", description="lz4, zstd or off: compression of what is written from now on.", examples=["lz4"]
    )
    record_size: RecordSize = Field(
        default=128 << 10,
        description="The block that one changed byte rewrites; small ones suit images and databases, at some overhead.",
        examples=["128K"],
    )


class ReportConfig(Section):
    """Where the result of a night is written, beside what is printed."""

    json_file: AbsolutePath | None = Field(
        default=None, description="The report of the last run as JSON.", examples=["/var/lib/snapmirror/last-run.json"]
    )
    metrics_file: AbsolutePath | None = Field(
        default=None,
        description="Metrics in Prometheus' text format, for node_exporter's textfile collector.",
        examples=["/var/lib/node_exporter/snapmirror.prom"],
    )


class MirrorOptions(Section):
    """The options of a mirror; in [defaults] for all mirrors."""

    port: Port | None = Field(default=None, description="ssh: port.", examples=[22])
    identity: AbsolutePath | None = Field(
        default=None, description="ssh: private key file.", examples=["/etc/snapmirror/id_ed25519"]
    )
    jump_host: JumpHost | None = Field(
        default=None,
        description="ssh: host to go through, as ssh's ProxyJump takes it.",
        examples=["admin@gate.example"],
    )
    known_hosts: AbsolutePath | None = Field(
        default=None,
        description="ssh: file with the host keys to trust. Default: the one ssh uses. Unknown hosts are refused.",
        examples=["/etc/snapmirror/known_hosts"],
    )
    password_file: AbsolutePath | None = Field(
        default=None, description="rsync daemon: file with the password, readable by its owner only.",
        examples=["/etc/snapmirror/rsync.secret"],
    )  # fmt: skip
    rsync_path: Text | None = Field(
        default=None, description="ssh: the rsync to run on the server.", examples=["sudo --non-interactive rsync"]
    )
    bandwidth_limit: Size | None = Field(default=None, description="Bytes per second at most.", examples=["10M"])
    compress: Literal["auto", "zstd", "zlib", "off"] = Field(
        default="auto", examples=["off"],
        description="Compression on the line: auto, zstd, zlib or off; auto: by zstd (an old server: zlib), until the "
        "line proves to be faster.",
    )  # fmt: skip
    timeout_seconds: Seconds = Field(
        default=600, description="Give up when nothing moves for so many seconds; 0: never.", examples=[600]
    )

    exclude: tuple[Text, ...] = Field(
        default=(),
        description="rsync patterns of what to leave out; a leading / means the root of the source.",
        examples=[["/proc/*", "/sys/*", "/dev/*", "/run/*", "/tmp/*"]],
        json_schema_extra={**SHOWN},
    )
    include: tuple[Text, ...] = Field(
        default=(), description="rsync patterns that are taken although an exclude matches.", examples=[["/tmp/keep/"]]
    )
    exclude_from: AbsolutePath | None = Field(
        default=None,
        description="File with more exclude patterns, one a line.",
        examples=["/etc/snapmirror/web1.exclude"],
    )
    include_from: AbsolutePath | None = Field(
        default=None,
        description="File with more include patterns, one a line.",
        examples=["/etc/snapmirror/web1.include"],
    )
    exclude_marker: FileName | None = Field(
        default=None, description="A folder that holds a file of this name is stored empty.", examples=[".nobackup"]
    )
    one_file_system: Bool = Field(
        default=False,
        description="Do not go into other file systems that are mounted below the source.",
        examples=[True],
    )
    max_size: Size | None = Field(default=None, description="Leave out files larger than this.", examples=["20G"])
    min_size: Size | None = Field(default=None, description="Leave out files smaller than this.", examples=["1"])

    known_databases: tuple[Text, ...] = Field(
        default=(),
        description="Data folders of running databases (of SQLite the files) that are dumped before each night, or "
        "need no backup: no warning about them. A leading / means the root of the source; * also stands for slashes.",
        examples=[["/var/lib/postgresql/15/main"]],
    )

    hard_links: Bool = Field(default=True, description="Keep hard links between files.", examples=[True])
    acls: Bool = Field(default=True, description="Keep ACLs.", examples=[True])
    xattrs: Bool = Field(default=True, description="Keep extended attributes.", examples=[True])
    fake_super: Bool = Field(
        default=False,
        description="Without root: keep owners and devices in extended attributes, as rsync --fake-super does.",
        examples=[True],
    )

    full: Bool = Field(
        default=False,
        description="Compare with the tree itself every night, not with the manifest: slow, finds changed ACLs too.",
        examples=[True],
    )
    full_every_days: Days | None = Field(
        default=None, description="Make such a full comparison when the last one is so many days old.", examples=[7]
    )
    on_unreadable: Literal["publish", "fail"] = Field(
        default="publish",
        description="Files that cannot be read: publish the snapshot with a warning, or fail the night.",
        examples=["publish"],
    )
    retries: Count = Field(
        default=0,
        description="How often a 'run' retries when the server or the network is away or the connection breaks. The "
        "store is closed between attempts.",
        examples=[3],
        json_schema_extra={**SHOWN},
    )
    retry_after: Duration = Field(
        default=timedelta(minutes=10), description="How long it waits before each retry.", examples=["10m"]
    )
    late_after: Duration | None = Field(
        default=None,
        description="How old the newest snapshot may be before 'status' and 'doctor' warn. Default: two days, or "
        "twice the usual time between the last snapshots, where that is more.",
        examples=["36h"],
    )
    clone_above: OptionalSize = Field(
        default=64 << 20,
        description='Larger files are cloned and patched in place where the file system can (xfs); "" turns it off.',
        examples=["64M"],
    )

    guard: GuardConfig = Field(default_factory=GuardConfig, description="Limits of one run.")
    retention: RetentionConfig = Field(default_factory=RetentionConfig, description="Which snapshots are kept.")
    verify: VerifyConfig = Field(default_factory=VerifyConfig, description="How soon all files are read back.")


class DefaultsConfig(MirrorOptions):
    """Values for every mirror that does not set its own.

    The keys are those of [[mirror]] except name and source, and the tables [defaults.guard], [defaults.retention] and
    [defaults.verify]. A mirror's own value wins, key by key; a list of its own replaces the one here. Options for ssh
    only, or for a daemon only, are ignored by mirrors of another kind.
    """


class MirrorConfig(MirrorOptions):
    """One tree to mirror. Repeat this section, with another name, for every further one."""

    name: MirrorName = Field(description="Its folder on the store, and its name in commands.", examples=["web1"])
    source: SourceField = Field(
        description='"user@host:/path" over ssh, "rsync://host/module/path" of an rsync daemon, or "/local/path".',
        examples=["root@web1.example:/"],
    )


class Config(Section):
    """Options at the top of the file, before the first section."""

    include: tuple[FilePattern, ...] = Field(
        default=(),
        description="More files of the configuration, which hold only [[mirror]] sections: patterns, relative to the "
        "folder of this file; the matches of each are read in sorted order.",
        examples=[["conf.d/*.toml"]],
    )
    store: StoreConfig = Field(description="Where the snapshots are kept.")
    share: ShareConfig | None = Field(default=None, description="The SMB share that holds the image.")
    image: ImageConfig | None = Field(
        default=None, description="The image file that holds the store.", json_schema_extra={**SHOWN}
    )
    zfs: ZfsConfig | None = Field(default=None, description='Options for backend = "zfs".')
    host: HostConfig | None = Field(default=None, description="The Windows machine that serves the share.")
    report: ReportConfig = Field(default_factory=ReportConfig, description="Where results are written.")
    image_copy: CopyConfig | None = Field(default=None, alias="copy", description="Where the image is copied to.")
    export: ExportConfig | None = Field(default=None, description="The history, served to Windows machines.")
    defaults: DefaultsConfig | None = Field(default=None, description="Values for all mirrors.")
    mirrors: tuple[MirrorConfig, ...] = Field(alias="mirror", min_length=1, description="The trees to mirror.")

    @property
    def is_plain(self) -> bool:
        """Whether the store is a plain folder, which is always open, and not in an image or a pool."""
        return self.image is None and self.zfs is None

    @property
    def min_free(self) -> int:
        """The largest reserve that any mirror asks for, in bytes."""
        return max(mirror.guard.min_free for mirror in self.mirrors)

    def select(self, names: Iterable[str] = ()) -> tuple[MirrorConfig, ...]:
        """The mirrors with these names, in the order of the configuration; all of them when no name is given."""
        wanted = set(names)
        known = {mirror.name for mirror in self.mirrors}
        for name in sorted(wanted - known):
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(sorted(known))}"
            raise UsageError(f"no mirror is called {name!a}", hint=hint)
        return tuple(mirror for mirror in self.mirrors if not wanted or mirror.name in wanted)
