// Everything of the protobuf package tallymark.v1, and the details that its errors carry.
export * from "./generated/tallymark/v1/admin_service_pb.js";
export * from "./generated/tallymark/v1/error_reason_pb.js";
export * from "./generated/tallymark/v1/event_pb.js";
export * from "./generated/tallymark/v1/ingest_service_pb.js";
export * from "./generated/tallymark/v1/query_service_pb.js";
export {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
  type BadRequest,
  type ErrorInfo,
  type RetryInfo,
} from "./generated/google/rpc/error_details_pb.js";
