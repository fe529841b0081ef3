"""The configuration: declared once in `schema`, read by `load`, shown by `sample`."""

from snapmirror.config.load import load, parse
from snapmirror.config.schema import (
    Config,
    GuardConfig,
    ImageConfig,
    MirrorConfig,
    ReportConfig,
    RetentionConfig,
    ShareConfig,
    StoreConfig,
    ZfsConfig,
)
from snapmirror.config.source import Source

__all__ = [
    "Config",
    "GuardConfig",
    "ImageConfig",
    "MirrorConfig",
    "ReportConfig",
    "RetentionConfig",
    "ShareConfig",
    "Source",
    "StoreConfig",
    "ZfsConfig",
    "load",
    "parse",
]
