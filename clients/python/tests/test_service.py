"""The stubs against a running service."""

import math
import subprocess
import sys
import time
from pathlib import Path
from queue import SimpleQueue

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc.error_details_pb2 import BadRequest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status
from tallymark import uuid7, v1

EXAMPLE = Path(__file__).parent.parent / "examples" / "quickstart.py"
TIMEOUT_SECONDS = 30
PAUSE_SECONDS = 0.02


def test_quickstart_prints_its_rows(channel, write_key, read_key, prefix):
    run = subprocess.run(
        [sys.executable, EXAMPLE, prefix], capture_output=True, text=True, timeout=TIMEOUT_SECONDS
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [
        f"{prefix}/home\tWindows\t2",
        f"{prefix}/home\tAndroid\t1",
        f"{prefix}/pricing\tAndroid\t1",
    ]
    assert run.stderr == "3 of 3 streamed events stored\n"

    question = v1.AggregateRequest(
        bucket=v1.BUCKET_WHOLE_RANGE,
        dimensions=["page", "os"],
        metrics=["events", "duration_mean"],
        filter=v1.Filter(
            where=v1.Condition(dimension="page", operator=v1.OPERATOR_STARTS_WITH, values=[prefix])
        ),
    )
    answer = v1.QueryServiceStub(channel).Aggregate(question, metadata=read_key, timeout=TIMEOUT_SECONDS)
    events, duration_mean = zip(*(row.metrics for row in answer.rows))
    assert events == (2, 1, 1)
    assert duration_mean[0] == 12
    assert math.isnan(duration_mean[1]) and math.isnan(duration_mean[2])


def test_an_event_sent_twice_is_counted_once(channel, write_key, prefix):
    ingest = v1.IngestServiceStub(channel)
    event = page_view(prefix)

    # Only a commit that is waited for tells a repeated event.
    committed = v1.ACKNOWLEDGEMENT_COMMITTED
    first = ingest.IngestEvent(
        v1.IngestEventRequest(event=event, acknowledgement=committed),
        metadata=write_key,
        timeout=TIMEOUT_SECONDS,
    )
    assert first.result.verdict == v1.VERDICT_ACCEPTED
    assert first.result.event_id == event.event_id

    again = v1.StreamEventsRequest(events=[event], acknowledgement=committed)
    summary = ingest.StreamEvents(iter([again]), metadata=write_key, timeout=TIMEOUT_SECONDS)
    assert (summary.received, summary.accepted, summary.duplicates) == (1, 0, 1)


def test_a_pipe_acknowledges_every_message_in_order(channel, write_key, read_key, prefix):
    messages: SimpleQueue[v1.PipeEventsRequest | None] = SimpleQueue()
    pipe = v1.IngestServiceStub(channel).PipeEvents(
        iter(messages.get, None), metadata=write_key, timeout=TIMEOUT_SECONDS
    )
    for message_id in (7, 8, 9):
        messages.put(
            v1.PipeEventsRequest(
                message_id=message_id,
                events=[page_view(prefix) for _ in range(message_id)],
                # The question comes right after the last acknowledgement.
                acknowledgement=v1.ACKNOWLEDGEMENT_COMMITTED,
            )
        )

    # All while the call is open: an acknowledgement does not wait for the half-close.
    acknowledged = [next(pipe) for _ in range(3)]
    messages.put(None)

    assert [(reply.message_id, reply.accepted) for reply in acknowledged] == [(7, 7), (8, 8), (9, 9)]
    assert list(pipe) == []
    assert pipe.code() == grpc.StatusCode.OK
    assert events_of(channel, read_key, prefix) == 24


def test_an_event_that_is_logged_is_in_answers_soon_after(channel, write_key, read_key, prefix):
    ingest = v1.IngestServiceStub(channel)
    logged = v1.IngestEventRequest(event=page_view(prefix), acknowledgement=v1.ACKNOWLEDGEMENT_LOGGED)
    by_default = v1.StreamEventsRequest(events=[page_view(prefix)])

    first = ingest.IngestEvent(logged, metadata=write_key, timeout=TIMEOUT_SECONDS)
    summary = ingest.StreamEvents(iter([by_default]), metadata=write_key, timeout=TIMEOUT_SECONDS)

    assert first.result.verdict == v1.VERDICT_ACCEPTED
    assert summary.accepted == 1
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (counted := events_of(channel, read_key, prefix)) != 2:
        assert time.monotonic() < deadline, f"{counted} of 2 events are in the answer"
        time.sleep(PAUSE_SECONDS)


def test_a_bad_event_names_the_field_that_is_wrong(channel, write_key):
    nameless = v1.IngestEventRequest(event=v1.Event(event_id=str(uuid7()), visitor_id="ada", page="/home"))

    with pytest.raises(grpc.RpcError) as raised:
        v1.IngestServiceStub(channel).IngestEvent(nameless, metadata=write_key, timeout=TIMEOUT_SECONDS)

    assert raised.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    bad_request = BadRequest()
    details = rpc_status.from_call(raised.value).details
    assert any(detail.Unpack(bad_request) for detail in details)
    assert [violation.field for violation in bad_request.field_violations] == ["event.name"]
    assert bad_request.field_violations[0].description


def test_health(channel):
    reply = health_pb2_grpc.HealthStub(channel).Check(
        health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS
    )

    assert reply.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_the_services_and_describes_them(channel):
    reflection = ProtoReflectionDescriptorDatabase(channel)

    assert {
        "grpc.health.v1.Health",
        "tallymark.v1.IngestService",
        "tallymark.v1.QueryService",
    } <= set(reflection.get_services())

    served: FileDescriptorProto = reflection.FindFileContainingSymbol("tallymark.v1.IngestService")
    methods = {method.name for service in served.service for method in service.method}
    assert {"IngestEvent", "StreamEvents", "PipeEvents"} <= methods


def page_view(prefix):
    return v1.Event(event_id=str(uuid7()), name="page_view", visitor_id="ada", page=f"{prefix}/home")


def events_of(channel, read_key, prefix):
    """How many events an answer counts on the pages of this prefix."""
    question = v1.AggregateRequest(
        bucket=v1.BUCKET_WHOLE_RANGE,
        filter=v1.Filter(
            where=v1.Condition(dimension="page", operator=v1.OPERATOR_STARTS_WITH, values=[prefix])
        ),
    )
    answer = v1.QueryServiceStub(channel).Aggregate(question, metadata=read_key, timeout=TIMEOUT_SECONDS)
    return sum(row.metrics[0] for row in answer.rows)
