"""The configuration: declared once in `schema`, read by `load`, shown by `sample`."""

from snapmirror.config.copy import MOUNT_POINT as COPY_MOUNT_POINT
from snapmirror.config.copy import CopyConfig, Destination, parse_destination
from snapmirror.config.export import ExportConfig
from snapmirror.config.guard import GuardConfig
from snapmirror.config.host import HostConfig
from snapmirror.config.load import Loaded, load, look, parse
from snapmirror.config.retention import RetentionConfig
from snapmirror.config.schema import (
    Config,
    ImageConfig,
    MirrorConfig,
    ReportConfig,
    ShareConfig,
    StoreConfig,
    ZfsConfig,
)

__all__ = [
    "COPY_MOUNT_POINT",
    "Config",
    "CopyConfig",
    "Destination",
    "ExportConfig",
    "GuardConfig",
    "HostConfig",
    "ImageConfig",
    "Loaded",
    "MirrorConfig",
    "ReportConfig",
    "RetentionConfig",
    "ShareConfig",
    "StoreConfig",
    "ZfsConfig",
    "load",
    "look",
    "parse",
    "parse_destination",
]
