import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { DescService } from "@bufbuild/protobuf";
import { type Client, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import {
  ErrorInfoSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../gen/google/rpc/error_details_pb.ts";
import type { HuaweicloudSettings } from "../../src/clouds/huawei/config.ts";
import type { Account } from "../../src/clouds/huawei/simulator/account.ts";
import { callKey, newCall, OPERATION_HEADER } from "../../src/core/call.ts";
import { noMeter } from "../../src/core/meter.ts";
import type { OperationState } from "../../src/core/operation.ts";
import { schemaOf } from "../../src/core/schema.ts";
import { parseFailure } from "../../src/core/status.ts";
import type { OpenTarget } from "../../src/core/target.ts";
import { noTracer } from "../../src/core/tracer.ts";
import { interceptors } from "../../src/interceptors/index.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import type { Timing } from "../../src/operations/records/timing.ts";
import { createRunner } from "../../src/operations/runner.ts";
import type { OperationRecord } from "../../src/operations/store/record.ts";
import { createMemoryDatabase, type MemoryDatabase } from "./memory-store.ts";

/** A target behind every interceptor and the real runner, with a store in memory. */
export interface ServedTarget extends AsyncDisposable {
  client<Service extends DescService>(service: Service): Client<Service>;
  /** The operation of a name, or the only one. */
  operation(name?: string): OperationRecord;
  /** Waits until it is in one of these states. */
  until(...states: OperationState[]): Promise<OperationRecord>;
  /** Waits until every operation has ended. */
  allEnded(): Promise<OperationRecord[]>;
  /** What the audit trail says of all operations, as `event: STATE`. */
  events(): string[];
}

/** How a {@link ServedTarget} is started. */
export interface ServeOptions {
  /** Operations of a process before. */
  readonly database?: MemoryDatabase;
  readonly timing?: Partial<Timing>;
  /** Of every call, in ms. Default 60,000. */
  readonly deadlineMs?: number;
}

/** Longer (ms) nothing is waited for. */
const PATIENCE_MS = 60_000;

/** Opens a target. */
export async function serveTarget(open: OpenTarget, options: ServeOptions = {}): Promise<ServedTarget> {
  const now = (): Date => new Date();
  const monotonic = (): number => performance.now();
  const database = options.database ?? createMemoryDatabase({ now });
  const background = (_call: unknown, work: Promise<unknown>): void => void work.catch(() => {}); // judged by what is stored
  const runner = createRunner({
    store: database.connect(randomUUID()),
    now,
    monotonic,
    newId: randomUUID,
    background,
    timing: { beatMs: 20, firstLookMs: 5, ...options.timing },
  });
  const target = open({
    now,
    monotonic,
    random: Math.random,
    warn: () => {},
    background,
    operations: runner.operations,
    meter: noMeter,
    tracer: noTracer,
  });
  await runner.begin(target.actions);
  const transport = createRouterTransport(
    (router) => {
      for (const route of target.routes) route.register(router, { reads: {}, mutations: {} });
    },
    {
      router: {
        interceptors: [
          (next) => (request) => {
            request.contextValues.set(callKey, newCall(randomUUID()));
            return next(request);
          },
          ...interceptors({
            newId: randomUUID,
            shutdown: new AbortController().signal,
            deadline: { defaultMs: options.deadlineMs ?? 60_000, maxMs: 600_000, abandoned: background },
            validator: newValidator(schemaOf(target.routes.map(({ service }) => service)).registry),
          }),
        ],
      },
    },
  );
  const operation = (name?: string): OperationRecord => {
    const [first] = [...database.operations.values()].filter((one) => name === undefined || one.name === name);
    if (first === undefined) throw new Error(`there is no operation ${name ?? ""}`);
    return first;
  };
  return {
    client: (service) => createClient(service, transport),
    operation,
    async until(...states) {
      const limit = performance.now() + PATIENCE_MS;
      for (;;) {
        const record = operation();
        if (states.includes(record.state)) return record;
        if (performance.now() > limit) throw new Error(`${record.state} for too long: ${record.evidence}`);
        await delay(5);
      }
    },
    async allEnded() {
      const limit = performance.now() + PATIENCE_MS;
      for (;;) {
        const records = [...database.operations.values()];
        if (records.every(({ endTime }) => endTime !== undefined)) return records;
        if (performance.now() > limit) throw new Error(records.map(({ state }) => state).join(", "));
        await delay(10);
      }
    },
    events: () => database.audit.map(({ event, to }) => `${event}: ${to}`),
    async [Symbol.asyncDispose]() {
      await runner[Symbol.asyncDispose]();
      await target[Symbol.asyncDispose]();
    },
  };
}

/** What a configuration says of a simulated account. */
export function settingsFor(account: Account, url: string, pollIntervalMs = 20): HuaweicloudSettings {
  const [key] = account.keys;
  if (key === undefined) throw new Error("the account has no key");
  const { accessKey, secretKey } = key;
  return {
    pollIntervalMs,
    projects: [
      {
        projectId: account.projectId,
        region: account.region,
        credentials: {
          kind: "key",
          accessKey: () => accessKey,
          secretKey: () => secretKey,
          securityToken: undefined,
        },
        endpoints: { cse: url, dcs: url, ddm: url },
        ca: undefined,
      },
    ],
  };
}

/** Why a call failed, as its caller sees it. */
export async function failureOf(call: Promise<unknown>) {
  const error = ConnectError.from(
    await call.then(
      () => new Error("it did not fail"),
      (reason: unknown) => reason,
    ),
  );
  const [info] = error.findDetails(ErrorInfoSchema);
  return {
    code: error.code,
    message: error.rawMessage,
    reason: info?.reason,
    metadata: info?.metadata,
    operation: error.metadata.get(OPERATION_HEADER) ?? "",
    resources: error.findDetails(ResourceInfoSchema).map(({ resourceName }) => resourceName),
    violations: error
      .findDetails(PreconditionFailureSchema)
      .flatMap(({ violations }) => violations.map(({ type, subject }) => [type, subject])),
    retries: error.findDetails(RetryInfoSchema).length > 0,
  };
}

/** What an operation ended with. */
export const errorOf = ({ error }: OperationRecord) => (error === undefined ? undefined : parseFailure(error));
