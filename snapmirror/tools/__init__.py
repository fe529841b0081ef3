"""Adapters: one module for each outside program; argv goes in, a typed result or an error sentence comes out."""
