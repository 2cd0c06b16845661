import { randomUUID } from "node:crypto";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { anyUnpack, durationMs } from "@bufbuild/protobuf/wkt";
import { type Client, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import {
  BadRequestSchema,
  ErrorInfoSchema,
  HelpSchema,
  PreconditionFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import { type Status, StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { InstanceService } from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import type { HuaweicloudSettings } from "../../../src/clouds/huawei/config.ts";
import { SANDBOX_KEY } from "../../../src/clouds/huawei/simulator/account.ts";
import { callKey, newCall, OPERATION_HEADER } from "../../../src/core/call.ts";
import { noMeter } from "../../../src/core/meter.ts";
import type { OperationState } from "../../../src/core/operation.ts";
import { schemaOf } from "../../../src/core/schema.ts";
import { noTracer } from "../../../src/core/tracer.ts";
import { interceptors } from "../../../src/interceptors/index.ts";
import { newValidator } from "../../../src/interceptors/validate.ts";
import type { Timing } from "../../../src/operations/records/timing.ts";
import { createRunner } from "../../../src/operations/runner.ts";
import type { OperationRecord } from "../../../src/operations/store/record.ts";
import type { Store } from "../../../src/operations/store/store.ts";
import { openDcs } from "../../../src/targets/dcs/index.ts";
import { type InstanceSeed, type Pace, type Simulator, startSimulator } from "../../../src/targets/dcs/simulator.ts";
import { createMemoryDatabase, type MemoryDatabase } from "../../support/memory-store.ts";

export const PROJECT = "5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d";
export const CLUSTER = "e3a7019c-8824-4c4b-9db8-4da7d7a3ffb1";
export const SINGLE = "b7d9b6a0-4a53-4f0e-8f39-1f0c5a4e2d77";
export const NOBODY = "00000000-0000-4000-8000-000000000000";

/** An id of an instance by its number. */
export const idOf = (number: number): string => `c0ffee00-0000-4000-8000-${String(number).padStart(12, "0")}`;

/** Resource name of an instance. */
export const nameOf = (id: string): string => `projects/${PROJECT}/dcs/instances/${id}`;

/** What reaches a simulator. */
export const settingsFor = (url: string, pollIntervalMs = 20): HuaweicloudSettings => ({
  pollIntervalMs,
  projects: [
    {
      projectId: PROJECT,
      region: "sandbox-1",
      credentials: {
        kind: "key",
        accessKey: () => SANDBOX_KEY.accessKey,
        secretKey: () => SANDBOX_KEY.secretKey,
        securityToken: undefined,
      },
      endpoints: { cse: url, dcs: url, ddm: url },
      ca: undefined,
    },
  ],
});

/** What a {@link startDcs} can be told. */
export interface Options {
  /** Default: the sandbox's two. */
  readonly instances?: readonly InstanceSeed[];
  /** Default: everything takes a few dozens of milliseconds. */
  readonly pace?: Pace;
  readonly timing?: Partial<Timing>;
  /** Default 20. */
  readonly pollIntervalMs?: number;
}

/** The target at work on a simulated DCS, through the real runner and all interceptors. */
export interface Dcs extends AsyncDisposable {
  readonly simulator: Simulator;
  readonly client: Client<typeof InstanceService>;
  readonly store: Store;
  readonly database: MemoryDatabase;
  /** The process dies; another one, on the same store, looks after what it had begun. */
  takeOver(): Promise<void>;
  /** From now on nobody listens. */
  vanish(): Promise<void>;
  /** The requests that change something. */
  puts(): readonly { readonly instances: readonly string[]; readonly action: string }[];
  /** Waits until an operation is in one of these states. */
  until(name: string, ...states: OperationState[]): Promise<OperationRecord>;
}

/** Starts all of it. */
export async function startDcs(options: Options = {}): Promise<Dcs> {
  await using stack = new AsyncDisposableStack();
  const { instances, pace = { restartMs: 60, flushMs: 60, taskMs: 20 }, pollIntervalMs } = options;
  const simulator = await startSimulator({ pace, ...(instances && { instances }) });
  let gone: Promise<void> | undefined;
  const vanish = (): Promise<void> => {
    gone ??= simulator[Symbol.asyncDispose]();
    return gone;
  };
  stack.defer(vanish);
  const now = () => new Date();
  const database = createMemoryDatabase({ now });
  const processes = new AsyncDisposableStack();
  stack.use(processes);
  const dead = new Set<string>();
  const begin = async (replica: string) => {
    const store = database.connect(replica, () => (dead.has(replica) ? new Promise(() => {}) : Promise.resolve()));
    const runner = createRunner({
      store,
      now,
      monotonic: () => performance.now(),
      newId: randomUUID,
      background: (_call, work) => void work.catch(() => {}),
      timing: { beatMs: 10, leaseMs: 50, firstLookMs: 5, sendWindowMs: 1_000, ...options.timing },
    });
    const target = openDcs(settingsFor(simulator.url, pollIntervalMs), {
      now,
      monotonic: () => performance.now(),
      random: Math.random,
      warn: () => {},
      background: (_call, work) => void work.catch(() => {}),
      meter: noMeter,
      tracer: noTracer,
      operations: runner.operations,
    });
    await runner.begin(target.actions);
    processes.defer(async () => {
      if (!dead.has(replica)) await runner[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await target[Symbol.asyncDispose]();
    });
    return { store, target };
  };
  const { store, target } = await begin("first");
  const client = createClient(InstanceService, transportOf(target.routes));
  const until: Dcs["until"] = async (name, ...states) => {
    for (;;) {
      const record = database.operations.get(name);
      if (record !== undefined && states.includes(record.state)) return record;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };
  const parts = stack.move();
  return {
    simulator,
    client,
    store,
    database,
    takeOver: async () => {
      dead.add("first");
      await begin("second");
    },
    puts: () => simulator.requests.filter(({ method }) => method === "PUT").map(({ body }) => JSON.parse(body)),
    until,
    vanish,
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

const transportOf = (routes: ReturnType<typeof openDcs>["routes"]) =>
  createRouterTransport((router) => routes.forEach((one) => void one.register(router, { reads: {}, mutations: {} })), {
    router: {
      interceptors: [
        (next) => (request) => {
          request.contextValues.set(callKey, newCall(randomUUID()));
          return next(request);
        },
        ...interceptors({
          newId: randomUUID,
          shutdown: new AbortController().signal,
          deadline: { defaultMs: 60_000, maxMs: 600_000, abandoned: (_call, work) => void work.catch(() => {}) },
          validator: newValidator(schemaOf([InstanceService]).registry),
        }),
      ],
    },
  });

/** A failure as a caller sees it: of a call, or of one item. */
export interface Seen {
  readonly code: number;
  readonly message: string;
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  /** The header `operation-name`. */
  readonly operation: string;
  /** Names of ResourceInfo. */
  readonly resources: readonly string[];
  /** Subjects of PreconditionFailure, each with its type. */
  readonly preconditions: readonly (readonly [type: string, subject: string])[];
  /** Milliseconds of RetryInfo. */
  readonly retryMs: number | undefined;
  readonly helps: boolean;
  readonly violations: number;
  /** The items' own. */
  readonly items: readonly Seen[];
}

/** Why a call failed. */
export async function failureOf(call: Promise<unknown>): Promise<Seen> {
  const error = ConnectError.from(
    await call.then(
      (answer) => new Error(`it did not fail: ${JSON.stringify(answer)}`),
      (reason: unknown) => reason,
    ),
  );
  return {
    ...seenIn(error.code, error.rawMessage, (desc) => error.findDetails(desc)),
    operation: error.metadata.get(OPERATION_HEADER) ?? "",
  };
}

/** Why one item failed. */
export const failureIn = (status: Status | undefined): Seen | undefined =>
  status && seenIn(status.code, status.message, (desc) => status.details.flatMap((any) => anyUnpack(any, desc) ?? []));

/** Finds the details of one type. */
type Find = <Desc extends DescMessage>(desc: Desc) => MessageShape<Desc>[];

function seenIn(code: number, message: string, find: Find): Seen {
  const [info] = find(ErrorInfoSchema);
  const [retry] = find(RetryInfoSchema).map(({ retryDelay }) => retryDelay);
  return {
    code,
    message,
    reason: info?.reason,
    metadata: info?.metadata ?? {},
    operation: "",
    resources: find(ResourceInfoSchema).map(({ resourceName }) => resourceName),
    preconditions: find(PreconditionFailureSchema).flatMap(({ violations }) =>
      violations.map(({ type, subject }) => [type, subject] as const),
    ),
    retryMs: retry && durationMs(retry),
    helps: find(HelpSchema).length > 0,
    violations: find(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations).length,
    items: find(StatusSchema).flatMap((status) => failureIn(status) ?? []),
  };
}
