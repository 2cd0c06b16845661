/**
 * What a web page does with restartd. It is bundled for the browser, asks its own server (`/config`) where restartd is, and posts there
 * (`/result`) what came of its calls.
 */
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import { Rollout_State } from "../../../gen/restart/kubernetes/v1/workload_pb.ts";
import { WorkloadService } from "../../../gen/restart/kubernetes/v1/workload_service_pb.ts";
import type { PageConfig, PageResult, TransportResult } from "./protocol.ts";

const WEB = {
  cluster: "sandbox",
  group: "apps",
  version: "v1",
  resource: "deployments",
  namespace: "shop",
  name: "web",
};

const transports = (baseUrl: string): Record<string, Transport> => ({
  "connect, JSON": createConnectTransport({ baseUrl, useBinaryFormat: false }),
  "connect, binary": createConnectTransport({ baseUrl, useBinaryFormat: true }),
  "connect, reads by GET": createConnectTransport({ baseUrl, useHttpGet: true }),
  "grpc-web, JSON": createGrpcWebTransport({ baseUrl, useBinaryFormat: false }),
  "grpc-web, binary": createGrpcWebTransport({ baseUrl, useBinaryFormat: true }),
});

async function failureOf(call: Promise<unknown>): Promise<ConnectError> {
  return call.then(
    () => new ConnectError("it did not fail", Code.Internal),
    (error: unknown) => ConnectError.from(error),
  );
}

async function tryTransport(transport: Transport): Promise<TransportResult> {
  const client = createClient(WorkloadService, transport);
  const headers: Record<string, string | null> = {};
  await client.restart(
    { ...WEB, name: "legacy" },
    {
      onHeader(received) {
        for (const name of ["restart-warning", "cache-control", "date"]) headers[name] = received.get(name);
      },
    },
  );
  await client.restart(WEB);
  const states: string[] = [];
  let last = "";
  for await (const { state, message } of client.watchRollout(WEB)) {
    states.push(Object.entries(Rollout_State).find(([, value]) => value === state)?.[0] ?? String(state));
    last = message;
  }
  const rollout = await client.getRollout(WEB);
  const paused = await failureOf(client.restart({ ...WEB, name: "checkout" }));
  const invalid = await failureOf(client.restart({ ...WEB, namespace: "A", name: "a/b" }));
  const stream = await failureOf(
    (async () => {
      for await (const _ of client.watchRollout({ ...WEB, name: "nothing" }));
    })(),
  );
  return {
    headers,
    states,
    last,
    desired: rollout.desired,
    paused: {
      code: Code[paused.code],
      message: paused.rawMessage,
      info: paused.findDetails(ErrorInfoSchema).map(({ reason, domain, metadata }) => ({ reason, domain, metadata })),
      violations: paused
        .findDetails(PreconditionFailureSchema)
        .flatMap(({ violations }) => violations.map(({ type, subject }) => ({ type, subject }))),
    },
    invalid: {
      code: Code[invalid.code],
      fields: invalid
        .findDetails(BadRequestSchema)
        .flatMap(({ fieldViolations }) => fieldViolations.map(({ field }) => field)),
    },
    stream: { code: Code[stream.code], reasons: stream.findDetails(ErrorInfoSchema).map(({ reason }) => reason) },
  };
}

/** Everything that a page can try to restart something with, each with what it got to see. */
async function attack(baseUrl: string): Promise<Record<string, string>> {
  const url = `${baseUrl}/restart.kubernetes.v1.WorkloadService/Restart`;
  const body = JSON.stringify(WEB);
  const simple = { method: "POST", mode: "no-cors" } as const;
  const query = new URLSearchParams({ connect: "v1", encoding: "json", message: body });
  const attempts: Record<string, () => Promise<unknown>> = {
    "connect-web": () => createClient(WorkloadService, createConnectTransport({ baseUrl })).restart(WEB),
    "gRPC-Web": () => createClient(WorkloadService, createGrpcWebTransport({ baseUrl })).restart(WEB),
    "connect-web, a read by GET": () =>
      createClient(WorkloadService, createConnectTransport({ baseUrl, useHttpGet: true })).getRollout(WEB),
    "JSON as text": () => fetch(url, { ...simple, headers: { "content-type": "text/plain" }, body }),
    "JSON as a form": () => fetch(url, { ...simple, body: new URLSearchParams({ a: body }) }),
    "JSON without a type": () => fetch(url, { ...simple, body: new Uint8Array(new TextEncoder().encode(body)) }),
    "a GET": () => fetch(`${url}?${query}`, { mode: "no-cors" }),
  };
  const seen: Record<string, string> = {};
  for (const [name, attempt] of Object.entries(attempts)) {
    seen[name] = await attempt().then(
      (answer) => (answer instanceof Response ? answer.type : "an answer"),
      (error: unknown) => ConnectError.from(error).rawMessage,
    );
  }
  return seen;
}

async function main({ baseUrl, task }: PageConfig): Promise<PageResult> {
  if (task === "attack") return { seen: await attack(baseUrl) };
  const tried: Record<string, TransportResult> = {};
  for (const [name, transport] of Object.entries(transports(baseUrl))) tried[name] = await tryTransport(transport);
  return { tried };
}

const config = (await (await fetch("/config")).json()) as PageConfig;
const result = await main(config).catch((error: unknown): PageResult => ({ failed: String(error) }));
await fetch("/result", { method: "POST", body: JSON.stringify(result) });
