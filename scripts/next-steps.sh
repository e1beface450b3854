#!/bin/sh
# What to try after the demo.
cat <<'END'
Next: keep a service running with

  make serve

and talk to it from another terminal:

  grpcurl -plaintext localhost:50051 list
  grpcurl -plaintext -d '{"event":{"name":"page_view","visitor_id":"ada","page":"/pricing"}}' \
      localhost:50051 tallymark.v1.IngestService/IngestEvent
  grpcurl -plaintext -d '{"dimensions":["page","os"],"metrics":["events","duration_mean"]}' \
      localhost:50051 tallymark.v1.QueryService/Aggregate
END
