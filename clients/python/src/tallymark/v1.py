"""The protobuf package `tallymark.v1`: every message, enum and stub under the name it has in proto/."""

from tallymark._generated.tallymark.v1.admin_service_pb2 import *  # noqa: F403
from tallymark._generated.tallymark.v1.admin_service_pb2_grpc import *  # noqa: F403
from tallymark._generated.tallymark.v1.error_reason_pb2 import *  # noqa: F403
from tallymark._generated.tallymark.v1.event_pb2 import *  # noqa: F403
from tallymark._generated.tallymark.v1.ingest_service_pb2 import *  # noqa: F403
from tallymark._generated.tallymark.v1.ingest_service_pb2_grpc import *  # noqa: F403
from tallymark._generated.tallymark.v1.query_service_pb2 import *  # noqa: F403
from tallymark._generated.tallymark.v1.query_service_pb2_grpc import *  # noqa: F403
