"""Stubs for Tallymark: `tallymark.v1` has the messages and services, `uuid7` mints event ids."""

from tallymark._uuid7 import uuid7

__all__ = ["uuid7"]
