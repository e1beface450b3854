// Sends four events, then asks how many each page had on each operating system.
//
//   npm run quickstart [PREFIX]    PREFIX starts the path of every page, `/shop`

import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Acknowledgement, Bucket, IngestService, QueryService } from "@tallymark/client";
import { v7 as uuid7 } from "uuid";

const { TALLYMARK_ADDRESS = "127.0.0.1:50051", TALLYMARK_KEY, TALLYMARK_READ_KEY } = process.env;
const WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
const ANDROID = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0";

const [prefix = ""] = process.argv.slice(2);
const [home, pricing] = [`${prefix}/home`, `${prefix}/pricing`];

function event(name: string, page: string, userAgent: string) {
  return { eventId: uuid7(), visitorId: "ada", name, page, userAgent };
}

function withKey(secret?: string) {
  return secret ? { headers: { authorization: `Bearer ${secret}` } } : {};
}

// Committed rather than logged, the default: the question comes right after.
const acknowledgement = Acknowledgement.COMMITTED;

async function* batches() {
  yield {
    acknowledgement,
    events: [
      { ...event("page_exit", home, WINDOWS), duration: { seconds: 12n } },
      event("page_view", home, ANDROID),
      event("page_view", pricing, ANDROID),
    ],
  };
}

const first = event("page_view", home, WINDOWS);
const question = {
  bucket: Bucket.WHOLE_RANGE,
  dimensions: ["page", "os"],
  metrics: ["events", "duration_mean"],
  filter: { kind: { case: "where" as const, value: { dimension: "page", values: [home, pricing] } } },
};

const transport = createGrpcTransport({ baseUrl: `http://${TALLYMARK_ADDRESS}` });
const ingest = createClient(IngestService, transport);
const query = createClient(QueryService, transport);

await ingest.ingestEvent({ event: first, acknowledgement }, withKey(TALLYMARK_KEY));
const summary = await ingest.streamEvents(batches(), withKey(TALLYMARK_KEY));
console.error(`${summary.accepted} of ${summary.received} streamed events stored`);

const answer = await query.aggregate(question, withKey(TALLYMARK_READ_KEY));
for (const { dimensions, metrics } of answer.rows) {
  const [page, os] = dimensions;
  const [events] = metrics;
  console.log(`${page}\t${os}\t${events}`);
}
