import { readFileSync } from "node:fs";
import { setTimeout } from "node:timers/promises";
import type { DescService, Registry } from "@bufbuild/protobuf";
import { type Client, Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type Operation, Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { RestartMetadata_Outcome, RestartMetadata_State } from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import { readFailure } from "../core/problem.ts";
import { schemaOf } from "../core/schema.ts";
import { BackupError, writeBackup } from "./backup.ts";
import { explainError } from "./errors.ts";
import { metadataOf, renderJson, renderOperation, renderStep, renderTable } from "./render.ts";
import { OPERATIONS_HELP, type OperationsCommand, OperationsUsageError, parseOperationsCommand } from "./usage.ts";

/** Where a command writes, and what it knows. */
export interface CommandContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Epoch ms. */
  readonly now: () => number;
  /** The caller's bearer token, where no file has it. */
  readonly token?: string | undefined;
  /** Services whose answers operations may hold. */
  readonly services: readonly DescService[];
  /** How long (ms) after a stream was cut it is asked for again; longer each time. Default 500. */
  readonly retryMs?: number;
}

/** Exit codes. */
const OK = 0;
const FAILED = 1;
const MISTAKE = 2;

/** No list is asked for more at once. */
const PAGE = 500;

/** Milliseconds that a call which answers once may take. */
const CALL_LIMIT_MS = 30_000;

type Asked = Exclude<OperationsCommand, { kind: "help" }>;

/** A command at work. */
interface Work extends CommandContext {
  readonly operations: Client<typeof Operations>;
  readonly ours: Client<typeof OperationService>;
  readonly registry: Registry;
}

/** Runs `restartd operations ...` and answers the exit code. What goes wrong is said on stderr. */
export async function runOperations(args: readonly string[], context: CommandContext): Promise<number> {
  let command: OperationsCommand;
  try {
    command = parseOperationsCommand(args);
  } catch (error) {
    if (!(error instanceof OperationsUsageError)) {
      throw error;
    }
    context.err(`restartd operations: ${error.message}\nTry: npm start -- operations --help\n`);
    return MISTAKE;
  }
  if (command.kind === "help") {
    context.out(OPERATIONS_HELP);
    return OK;
  }
  let token: string;
  try {
    token = command.tokenFile === undefined ? (context.token ?? "") : readFileSync(command.tokenFile, "utf8").trim();
  } catch (error) {
    context.err(`restartd operations: --token-file ${command.tokenFile} cannot be read: ${readFailure(error)}\n`);
    return MISTAKE;
  }
  const interceptors = token === "" ? [] : [bearer(token)];
  const transport = createConnectTransport({ baseUrl: command.address, httpVersion: "1.1", interceptors });
  const work: Work = {
    ...context,
    operations: createClient(Operations, transport),
    ours: createClient(OperationService, transport),
    registry: schemaOf([...context.services, Operations, OperationService]).registry,
  };
  try {
    return await run(command, work);
  } catch (error) {
    context.err(`restartd operations: ${describe(error, command.address)}\n`);
    return FAILED;
  }
}

/** Says who calls. */
const bearer =
  (token: string): Interceptor =>
  (next) =>
  (req) => {
    req.header.set("authorization", `Bearer ${token}`);
    return next(req);
  };

function describe(error: unknown, address: string): string {
  const isLocal = error instanceof BackupError || (error instanceof Error && "syscall" in error && "path" in error);
  return isLocal ? error.message : explainError(error, address);
}

const LIMIT = { timeoutMs: CALL_LIMIT_MS };

async function run(command: Asked, work: Work): Promise<number> {
  const { operations, ours, registry, out } = work;
  const print = (operation: Operation): void =>
    out(command.json ? renderJson(operation, registry) : renderOperation(operation, registry));
  switch (command.kind) {
    case "list":
      return list(command, work);
    case "show":
      print(await operations.getOperation({ name: command.name }, LIMIT));
      return OK;
    case "watch":
      return watch(command, work);
    case "cancel":
      await operations.cancelOperation({ name: command.name }, LIMIT);
      print(await operations.getOperation({ name: command.name }, LIMIT));
      return OK;
    case "resolve": {
      const { name, note, applied } = command;
      const outcome = applied ? RestartMetadata_Outcome.APPLIED : RestartMetadata_Outcome.NOT_APPLIED;
      print(await ours.resolveOperation({ name, note, outcome }, LIMIT));
      return OK;
    }
    case "backup": {
      // A stream that nobody reads to its end would keep the process.
      const end = new AbortController();
      try {
        const bytes = await writeBackup(command.file, () => ours.backupStore({}, { signal: end.signal }));
        out(`${command.file}: ${bytes} bytes\n`);
        return OK;
      } finally {
        end.abort();
      }
    }
  }
}

async function list({ filter, limit, json }: Extract<Asked, { kind: "list" }>, work: Work): Promise<number> {
  const found: Operation[] = [];
  for (let pageToken = ""; ; ) {
    const pageSize = Math.min(limit - found.length, PAGE);
    const page = await work.operations.listOperations({ filter, pageSize, pageToken }, LIMIT);
    found.push(...page.operations);
    pageToken = page.nextPageToken;
    if (pageToken !== "" && found.length < limit) {
      continue;
    }
    work.out(
      json ? found.map((operation) => renderJson(operation, work.registry)).join("") : renderTable(found, work.now()),
    );
    if (pageToken !== "" && !json) {
      work.err(`the newest ${found.length}; there are more: raise --limit, or narrow them down by --filter\n`);
    }
    return OK;
  }
}

/** So often a stream that was cut is asked for again without an answer: for about a minute. */
const MAX_RETRIES = 15;

/** Longest time (ms) before that is tried again. */
const MAX_RETRY_MS = 5_000;

/** Prints each step until the operation has ended. A server that ends, or a connection that breaks, before that is asked again. */
async function watch({ name, json }: Extract<Asked, { kind: "watch" }>, work: Work): Promise<number> {
  let last: Operation | undefined;
  let printed = "";
  for (let retries = 0; ; retries++) {
    try {
      for await (const operation of work.ours.watchOperation({ name })) {
        const line = json ? renderJson(operation, work.registry) : renderStep(operation);
        if (line !== printed) work.out(line);
        printed = line;
        last = operation;
        retries = 0;
      }
    } catch (error) {
      if (last === undefined || retries >= MAX_RETRIES || !isCut(error)) throw error;
    }
    if (last?.done) {
      return metadataOf(last)?.state === RestartMetadata_State.SUCCEEDED ? OK : FAILED;
    }
    if (retries >= MAX_RETRIES) {
      work.err(`restartd operations: the server keeps ending the stream before the end of ${name}\n`);
      return FAILED;
    }
    if (retries === 0) work.err(`the stream ended before ${name} did; asking again\n`);
    await setTimeout(Math.min((work.retryMs ?? 500) * 2 ** retries, MAX_RETRY_MS));
  }
}

/** Codes of a stream that was cut, or of a server that is ending or not there: not what it says of an operation. */
const CUT: ReadonlySet<Code> = new Set([Code.Unavailable, Code.Aborted, Code.Canceled, Code.Internal, Code.Unknown]);

/** Whether an error is about the connection or the server, so that another try may do better. */
function isCut(thrown: unknown): boolean {
  const error = ConnectError.from(thrown);
  return error.findDetails(ErrorInfoSchema).length > 0 ? error.code === Code.Unavailable : CUT.has(error.code);
}
