// The stubs against the service that the environment names. Without one these tests fail; they never skip.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  Acknowledgement,
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
const PAUSE_MS = 20;

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
const pageView = (prefix: string) => ({
  eventId: uuid7(),
  name: "page_view",
  visitorId: "ada",
  page: `${prefix}/home`,
});

// How many events an answer counts on the pages of this prefix.
async function eventsOf(prefix: string): Promise<number> {
  const where = { dimension: "page", operator: Operator.STARTS_WITH, values: [prefix] };
  const { rows } = await createClient(QueryService, transport()).aggregate(
    { bucket: Bucket.WHOLE_RANGE, filter: { kind: { case: "where", value: where } } },
    withKey("TALLYMARK_READ_KEY"),
  );
  return rows.reduce((events, { metrics: [more = 0] }) => events + more, 0);
}

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
  const event = pageView(uniquePrefix());
  // Only a commit that is waited for tells a repeated event.
  const acknowledgement = Acknowledgement.COMMITTED;

  const { result } = await ingest.ingestEvent({ event, acknowledgement }, withKey("TALLYMARK_KEY"));
  assert.equal(result?.verdict, Verdict.ACCEPTED);
  assert.equal(result.eventId, event.eventId);

  async function* again() {
    yield { events: [event], acknowledgement };
  }
  const { received, accepted, duplicates } = await ingest.streamEvents(again(), withKey("TALLYMARK_KEY"));
  assert.deepEqual({ received, accepted, duplicates }, { received: 1n, accepted: 0n, duplicates: 1n });
});

test("a pipe acknowledges every message in order", async () => {
  const prefix = uniquePrefix();
  const messageIds = [7n, 8n, 9n];
  // All acknowledged while the call is open: an acknowledgement does not wait for the half-close.
  let halfClose = () => {};
  const allAcknowledged = new Promise<void>((resolve) => (halfClose = resolve));
  async function* messages() {
    for (const messageId of messageIds) {
      const events = Array.from({ length: Number(messageId) }, () => pageView(prefix));
      // The question comes right after the last acknowledgement.
      yield { messageId, events, acknowledgement: Acknowledgement.COMMITTED };
    }
    await allAcknowledged;
  }

  const acknowledged: [bigint, number][] = [];
  const ingest = createClient(IngestService, transport());
  for await (const { messageId, accepted } of ingest.pipeEvents(messages(), withKey("TALLYMARK_KEY"))) {
    acknowledged.push([messageId, accepted]);
    if (acknowledged.length === messageIds.length) halfClose();
  }

  assert.deepEqual(acknowledged, [
    [7n, 7],
    [8n, 8],
    [9n, 9],
  ]);
  assert.equal(await eventsOf(prefix), 24);
});

test("an event that is logged is in answers soon after", async () => {
  const prefix = uniquePrefix();
  const ingest = createClient(IngestService, transport());

  for (const acknowledgement of [Acknowledgement.LOGGED, Acknowledgement.UNSPECIFIED]) {
    const request = { event: pageView(prefix), acknowledgement };
    const { result } = await ingest.ingestEvent(request, withKey("TALLYMARK_KEY"));
    assert.equal(result?.verdict, Verdict.ACCEPTED);
  }

  const deadline = Date.now() + TIMEOUT_MS;
  for (let counted = await eventsOf(prefix); counted !== 2; counted = await eventsOf(prefix)) {
    assert.ok(Date.now() < deadline, `${counted} of 2 events are in the answer`);
    await sleep(PAUSE_MS);
  }
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
