"""Benchmarks: real programs on real loop devices, as root. They measure; tests judge."""
