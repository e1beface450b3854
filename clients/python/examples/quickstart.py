"""Sends four events, then asks how many each page had on each operating system.

python quickstart.py [PREFIX]    PREFIX starts the path of every page, `/shop`
"""

import os
import sys

import grpc
from google.protobuf.duration_pb2 import Duration
from tallymark import uuid7, v1

ADDRESS = os.environ.get("TALLYMARK_ADDRESS", "127.0.0.1:50051")
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
ANDROID = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"

prefix = sys.argv[1] if len(sys.argv) > 1 else ""
home, pricing = prefix + "/home", prefix + "/pricing"


def event(name, page, user_agent, **more):
    known = dict(event_id=str(uuid7()), visitor_id="ada", page=page, user_agent=user_agent)
    return v1.Event(name=name, **known, **more)


def key(variable):
    secret = os.environ.get(variable)
    return [("authorization", f"Bearer {secret}")] if secret else []


first = event("page_view", home, WINDOWS)
batch = [
    event("page_exit", home, WINDOWS, duration=Duration(seconds=12)),
    event("page_view", home, ANDROID),
    event("page_view", pricing, ANDROID),
]
question = v1.AggregateRequest(
    bucket=v1.BUCKET_WHOLE_RANGE,
    dimensions=["page", "os"],
    metrics=["events", "duration_mean"],
    filter=v1.Filter(where=v1.Condition(dimension="page", values=[home, pricing])),
)

with grpc.insecure_channel(ADDRESS) as channel:
    ingest, query = v1.IngestServiceStub(channel), v1.QueryServiceStub(channel)
    write, read = key("TALLYMARK_KEY"), key("TALLYMARK_READ_KEY")

    # Committed rather than logged, the default: the question comes right after.
    committed = v1.ACKNOWLEDGEMENT_COMMITTED
    ingest.IngestEvent(v1.IngestEventRequest(event=first, acknowledgement=committed), metadata=write)
    message = v1.StreamEventsRequest(events=batch, acknowledgement=committed)
    summary = ingest.StreamEvents(iter([message]), metadata=write)
    print(f"{summary.accepted} of {summary.received} streamed events stored", file=sys.stderr)

    for row in query.Aggregate(question, metadata=read).rows:
        (page, os_name), (events, duration_mean) = row.dimensions, row.metrics
        print(page, os_name, int(events), sep="\t")
