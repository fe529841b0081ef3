"""The ZFS store: a dataset for each mirror, and its snapshots."""
