import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { create, createRegistry, type JsonObject } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { type Client, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type Operation, Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { ConfigSchema, file_restart_config_v1_config } from "../../gen/restart/config/v1/config_pb.ts";
import {
  type RestartMetadata,
  RestartMetadata_Outcome,
  RestartMetadata_State,
  RestartMetadataSchema,
} from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import { makeConfig } from "../../src/config.ts";
import { withDependencies } from "../../src/core/schema.ts";
import type { OpenTarget } from "../../src/core/target.ts";
import { newValidator } from "../../src/interceptors/validate.ts";
import type { FailpointHook } from "../../src/operations/records/failpoint.ts";
import type { Timing } from "../../src/operations/records/timing.ts";
import { serve } from "../../src/serve.ts";
import { temporaryFolder } from "../support/folder.ts";
import { heldLog } from "../support/log.ts";
import type { Subject, Thing, World } from "./subject.ts";
import { type Asking, ask, type Told } from "./told.ts";

/** A whole server with one target, as its callers and its operator see it. */
export interface Session extends AsyncDisposable {
  /** Calls the subject's rpc. */
  restart(request: JsonObject, asking?: Asking): Promise<Told>;
  readonly operations: Client<typeof Operations>;
  readonly service: Client<typeof OperationService>;
  /** Every operation about a thing, the newest first. */
  operationsOn(thing: Thing): Promise<Seen[]>;
  /** The newest operation about a thing once `enough` of it has happened. */
  until(thing: Thing, enough: (seen: Seen) => boolean): Promise<Seen>;
  /** The newest operation about a thing once it has ended. */
  ended(thing: Thing): Promise<Seen>;
  /** Copies everything that is kept to a file, as it is at this moment; answers its path. */
  copy(): Promise<string>;
  /** Where (`told`, `log`, `store`) one of these texts can be seen. */
  sightsOf(texts: readonly string[]): Promise<string[]>;
}

/** An operation, as its callers see it. */
export interface Seen {
  readonly name: string;
  readonly done: boolean;
  readonly state: string;
  readonly outcome: string;
  /** Of its error. */
  readonly reason: string | undefined;
  readonly metadata: RestartMetadata;
}

/** How a {@link Session} differs from an ordinary one. */
export interface SessionOptions {
  /** Replaces the target by one with a defect: for negative controls. */
  readonly spoil?: (open: OpenTarget) => OpenTarget;
  readonly failpoint?: FailpointHook;
  /** A SQLite file to go on with. Default: nothing is kept. */
  readonly file?: string;
}

/** Short, in the order of the real ones; the last is longer than everything that a test keeps waiting. */
const TIMING: Partial<Timing> = { beatMs: 25, firstLookMs: 10, settleMs: 400 };

/** Longer (ms) no test waits for anything. */
const PATIENCE_MS = 60_000;

/** Its first use is slow. */
const validator = newValidator(createRegistry(...withDependencies([file_restart_config_v1_config])));

/** Starts a server for a subject in its world. */
export async function openSession(
  subject: Pick<Subject, "target" | "method">,
  world: World,
  options: SessionOptions = {},
): Promise<Session> {
  const { spoil = (open) => open, failpoint, file } = options;
  await using stack = new AsyncDisposableStack();
  const folder = stack.use(await temporaryFolder());
  const seen: Record<"told" | "log", string[]> = { told: [], log: [] };
  const config = makeConfig(() => create(ConfigSchema, { ...world.sections, ...placesOf(file) }), {
    validator,
    readSections: (read, reader) => [spoil(subject.target.read(read, reader))],
    storeInMemory: file === undefined,
  });
  const log = heldLog("trace", (_, text) => void seen.log.push(text));
  const served = stack.use(await serve({ config, log, timing: TIMING, ...(failpoint && { failpoint }) }));
  const transport = createConnectTransport({ baseUrl: served.url, httpVersion: "1.1" });
  const operations = createClient(Operations, transport);
  const service = createClient(OperationService, transport);
  let copies = 0;

  const operationsOn = async ({ target }: Thing): Promise<Seen[]> => {
    const filter = `target = ${JSON.stringify(target)}`;
    return (await operations.listOperations({ filter })).operations.map(asSeen);
  };
  const until = async (thing: Thing, enough: (one: Seen) => boolean): Promise<Seen> => {
    const limit = performance.now() + PATIENCE_MS;
    for (;;) {
      const [newest] = await operationsOn(thing);
      if (newest !== undefined && enough(newest)) return newest;
      if (performance.now() > limit)
        throw new Error(`${thing.target}: ${newest?.state ?? "no operation"} for too long`);
      await delay(10);
    }
  };
  const copy = async (): Promise<string> => {
    const pieces: Uint8Array[] = [];
    for await (const { data } of service.backupStore({})) pieces.push(data);
    const path = join(folder.path, `copy-${++copies}.db`);
    await writeFile(path, Buffer.concat(pieces));
    return path;
  };
  const parts = stack.move();
  return {
    restart: (request, asking = {}) =>
      ask(served.url, subject.method, request, asking, (text) => void seen.told.push(text)),
    operations,
    service,
    operationsOn,
    until,
    ended: (thing) => until(thing, ({ done }) => done),
    copy,
    async sightsOf(texts) {
      const store: Uint8Array[] = [];
      for await (const { data } of service.backupStore({})) store.push(data);
      const places = { ...seen, store: [Buffer.concat(store).toString("latin1")] };
      return Object.entries(places)
        .filter(([, written]) => texts.some((text) => written.some((one) => one.includes(text))))
        .map(([place]) => place);
    },
    [Symbol.asyncDispose]: () => parts.disposeAsync(),
  };
}

/** Where to listen, and where to keep operations. */
const placesOf = (file: string | undefined) => ({
  listen: "127.0.0.1:0",
  ...(file !== undefined && { store: { kind: { case: "sqlite" as const, value: { path: file } } } }),
});

function asSeen({ name, done, metadata: any, result }: Operation): Seen {
  const metadata = any && anyUnpack(any, RestartMetadataSchema);
  if (metadata === undefined) throw new Error(`${name} has no metadata`);
  const infos = result.case === "error" ? result.value.details.map((detail) => anyUnpack(detail, ErrorInfoSchema)) : [];
  return {
    name,
    done,
    metadata,
    state: nameOf(RestartMetadata_State, metadata.state),
    outcome: nameOf(RestartMetadata_Outcome, metadata.outcome),
    reason: infos.find((info) => info !== undefined)?.reason,
  };
}

const nameOf = (names: Readonly<Record<string, number>>, value: number): string =>
  Object.keys(names).find((name) => names[name] === value) ?? String(value);
