"""What needs no service: the package is complete, and ids are UUIDv7."""

import importlib
import pkgutil
import time
from uuid import RFC_4122

import tallymark._generated.tallymark.v1 as generated
from tallymark import uuid7, v1


def test_v1_has_every_generated_name():
    modules = [module.name for module in pkgutil.iter_modules(generated.__path__)]
    assert "ingest_service_pb2" in modules and "ingest_service_pb2_grpc" in modules

    for module in modules:
        generated_module = importlib.import_module(f"{generated.__name__}.{module}")
        if module.endswith("_pb2_grpc"):
            names = [name for name in vars(generated_module) if name.endswith("Stub")]
        else:
            descriptor = generated_module.DESCRIPTOR
            names = [*descriptor.message_types_by_name, *descriptor.enum_types_by_name]
        assert names, f"{module} defines nothing"
        for name in names:
            assert getattr(v1, name) is getattr(generated_module, name)


def test_uuid7_has_the_time_the_version_and_no_repetition():
    before = time.time_ns() // 1_000_000
    ids = [uuid7() for _ in range(1000)]
    after = time.time_ns() // 1_000_000

    assert len(set(ids)) == len(ids)
    for minted in ids:
        assert minted.version == 7 and minted.variant == RFC_4122
        assert before <= minted.int >> 80 <= after
