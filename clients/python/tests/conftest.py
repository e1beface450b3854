"""The service under test comes from the environment. Without one these tests fail; they never skip."""

import os

import grpc
import pytest
from tallymark import uuid7


def required(variable: str) -> str:
    value = os.environ.get(variable)
    if not value:
        pytest.fail(f"{variable} is not set: these tests need a running service (clients/test.sh)")
    return value


@pytest.fixture
def channel():
    with grpc.insecure_channel(required("TALLYMARK_ADDRESS")) as channel:
        yield channel


@pytest.fixture
def write_key():
    return [("authorization", f"Bearer {required('TALLYMARK_KEY')}")]


@pytest.fixture
def read_key():
    return [("authorization", f"Bearer {required('TALLYMARK_READ_KEY')}")]


@pytest.fixture
def prefix():
    """The start of page paths that no other run has used."""
    return f"/python-{uuid7()}"
