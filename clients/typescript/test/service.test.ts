// The stubs against the service that the environment names. Without one these tests fail; they never skip.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  BadRequestSchema,
  Bucket,
  IngestService,
  Operator,
  QueryService,
  Verdict,
} from "@tallymark/client";
import { v7 as uuid7 } from "uuid";

import { Health, HealthCheckResponse_ServingStatus } from "./generated/grpc/health/v1/health_pb.js";
import { ServerReflection } from "./generated/grpc/reflection/v1/reflection_pb.js";

const EXAMPLE = fileURLToPath(new URL("../examples/quickstart.js", import.meta.url));
const TIMEOUT_MS = 30_000;

function required(variable: string): string {
  const value = process.env[variable];
  assert.ok(value, `${variable} is not set: these tests need a running service (clients/test.sh)`);
  return value;
}

const transport = () =>
  createGrpcTransport({ baseUrl: `http://${required("TALLYMARK_ADDRESS")}`, defaultTimeoutMs: TIMEOUT_MS });
const withKey = (variable: string) => ({ headers: { authorization: `Bearer ${required(variable)}` } });

// The start of page paths that no other run has used.
const uniquePrefix = () => `/typescript-${uuid7()}`;

test("quickstart prints its rows", async () => {
  const [write, read] = [withKey("TALLYMARK_KEY"), withKey("TALLYMARK_READ_KEY")];
  assert.ok(write && read);
  const prefix = uniquePrefix();

  const { stdout, stderr } = await promisify(execFile)(process.execPath, [EXAMPLE, prefix], {
    timeout: TIMEOUT_MS,
  });

  assert.equal(
    stdout,
    `${prefix}/home\tWindows\t2\n${prefix}/home\tAndroid\t1\n${prefix}/pricing\tAndroid\t1\n`,
  );
  assert.equal(stderr, "3 of 3 streamed events stored\n");

  const answer = await createClient(QueryService, transport()).aggregate(
    {
      bucket: Bucket.WHOLE_RANGE,
      dimensions: ["page", "os"],
      metrics: ["events", "duration_mean"],
      filter: {
        kind: { case: "where", value: { dimension: "page", operator: Operator.STARTS_WITH, values: [prefix] } },
      },
    },
    read,
  );
  assert.deepEqual(
    answer.rows.map((row) => row.metrics),
    [
      [2, 12],
      [1, NaN],
      [1, NaN],
    ],
  );
});

test("an event sent twice is counted once", async () => {
  const ingest = createClient(IngestService, transport());
  const event = { eventId: uuid7(), name: "page_view", visitorId: "ada", page: `${uniquePrefix()}/home` };

  const { result } = await ingest.ingestEvent({ event }, withKey("TALLYMARK_KEY"));
  assert.equal(result?.verdict, Verdict.ACCEPTED);
  assert.equal(result.eventId, event.eventId);

  async function* again() {
    yield { events: [event] };
  }
  const { received, accepted, duplicates } = await ingest.streamEvents(again(), withKey("TALLYMARK_KEY"));
  assert.deepEqual({ received, accepted, duplicates }, { received: 1n, accepted: 0n, duplicates: 1n });
});

test("a bad event names the field that is wrong", async () => {
  const nameless = { eventId: uuid7(), visitorId: "ada", page: "/home" };
  const key = withKey("TALLYMARK_KEY");

  const error = await createClient(IngestService, transport())
    .ingestEvent({ event: nameless }, key)
    .then(() => assert.fail("the event was accepted"), ConnectError.from);

  assert.equal(error.code, Code.InvalidArgument);
  const violations = error.findDetails(BadRequestSchema).flatMap((detail) => detail.fieldViolations);
  assert.deepEqual(
    violations.map((violation) => violation.field),
    ["event.name"],
  );
  assert.ok(violations[0]?.description);
});

test("health", async () => {
  const { status } = await createClient(Health, transport()).check({});

  assert.equal(status, HealthCheckResponse_ServingStatus.SERVING);
});

test("reflection lists the services", async () => {
  async function* listServices() {
    yield { messageRequest: { case: "listServices" as const, value: "" } };
  }

  const listed = new Set<string>();
  for await (const { messageResponse } of createClient(ServerReflection, transport()).serverReflectionInfo(
    listServices(),
  )) {
    assert.equal(messageResponse.case, "listServicesResponse");
    messageResponse.value.service.forEach(({ name }) => listed.add(name));
  }

  for (const service of ["grpc.health.v1.Health", IngestService.typeName, QueryService.typeName]) {
    assert.ok(listed.has(service), `${service} is not among ${[...listed].join(", ")}`);
  }
});
