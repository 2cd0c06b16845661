import { setTimeout } from "node:timers/promises";
import { createRegistry, type DescService, equals, type Registry } from "@bufbuild/protobuf";
import { type Client, createClient, type Transport } from "@connectrpc/connect";
import { type Operation, OperationSchema, Operations } from "../../gen/google/longrunning/operations_pb.ts";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { file_google_rpc_status } from "../../gen/google/rpc/status_pb.ts";
import { RestartMetadata_Outcome, RestartMetadata_State } from "../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../gen/restart/operation/v1/operation_service_pb.ts";
import { CommandMistake } from "../core/command.ts";
import { withDependencies } from "../core/dependencies.ts";
import { plain } from "../core/plain.ts";
import { ConfigError } from "../core/problem.ts";
import { BackupError, writeBackup } from "./backup.ts";
import { explainError } from "./errors.ts";
import { EXIT, exitOf } from "./exit.ts";
import { isCut } from "./follow.ts";
import { problemOf, problemOfStatus } from "./problem.ts";
import { metadataOf, renderJson, renderOperation, renderStep, renderTable } from "./render.ts";
import {
  OPERATIONS_HELP,
  type OperationsCommand,
  OperationsUsageError,
  type Output,
  parseOperationsCommand,
} from "./usage.ts";
import { whileHeard } from "./while-heard.ts";
import { documentOf } from "./yaml.ts";

/** What the command line says about the server. */
export interface ServerFlags {
  readonly address: string | undefined;
  readonly tokenFile: string | undefined;
  readonly ca: string | undefined;
  readonly context: string | undefined;
}

/** Where a command writes, and what it knows. */
export interface CommandContext {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** Epoch ms. */
  readonly now: () => number;
  /** Opens the server that a command line means. Throws CommandMistake, ConfigError. */
  readonly connect: (flags: ServerFlags) => { readonly address: string; readonly transport: Transport };
  /** Aborted by a signal; its reason is the exit code. */
  readonly interrupted?: AbortSignal;
  /** Services whose answers operations may hold. */
  readonly services: readonly DescService[];
  /** How long (ms) after a stream was cut it is asked for again; longer each time. Default 500. */
  readonly retryMs?: number;
}

const { DONE: OK, REFUSED: FAILED, MISTAKE } = EXIT;

/** No list is asked for more at once. */
const PAGE = 500;

/** Milliseconds that a call which answers once may take. */
const CALL_LIMIT_MS = 30_000;

type ParsedCommand = Exclude<OperationsCommand, { kind: "help" }>;

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
    context.err(`restartd operations: ${error.message}\nTry: restartd operations --help\n`);
    return MISTAKE;
  }
  if (command.kind === "help") {
    context.out(OPERATIONS_HELP);
    return OK;
  }
  const isChanging = command.kind === "cancel" || command.kind === "resolve";
  let address = "";
  try {
    const server = context.connect(command);
    address = server.address;
    const work: Work = {
      ...context,
      operations: createClient(Operations, server.transport),
      ours: createClient(OperationService, server.transport),
      registry: registryOf([...context.services, Operations, OperationService]),
    };
    return await run(command, work);
  } catch (error) {
    if (error instanceof CommandMistake) {
      context.err(`restartd operations: ${error.message}\n`);
      return MISTAKE;
    }
    if (error instanceof ConfigError) {
      context.err(`${error.message}\n`);
      return MISTAKE;
    }
    if (context.interrupted?.aborted) {
      const { kind } = command;
      if (kind === "watch" || kind === "wait") {
        context.err(`${command.name}: it goes on\nrestartd operations watch ${command.name}\n`);
      }
      return Number(context.interrupted.reason);
    }
    context.err(`restartd operations: ${describe(error, address)}\n`);
    return isLocal(error) ? FAILED : problemOf(error, address, isChanging).exit;
  }
}

/** What the operations of some services, and their errors, may hold. */
const registryOf = (services: readonly DescService[]): Registry =>
  createRegistry(
    ...withDependencies([...services.map(({ file }) => file), file_google_rpc_error_details, file_google_rpc_status]),
  );

const isLocal = (error: unknown): error is Error =>
  error instanceof BackupError || (error instanceof Error && "syscall" in error && "path" in error);

const describe = (error: unknown, address: string): string =>
  isLocal(error) ? error.message : explainError(error, address);

const LIMIT = { timeoutMs: CALL_LIMIT_MS };

async function run(command: ParsedCommand, work: Work): Promise<number> {
  const { operations, ours, registry, out } = work;
  const print = (operation: Operation): void => out(rendered(operation, command.output, registry));
  switch (command.kind) {
    case "list":
      return list(command, work);
    case "show":
      print(await operations.getOperation({ name: command.name }, LIMIT));
      return OK;
    case "watch": {
      let printed = "";
      return follow(command.name, work, (operation) => {
        const line = isText(command.output) ? renderStep(operation) : rendered(operation, command.output, registry);
        if (line !== printed) out(line);
        printed = line;
      });
    }
    case "wait":
      return waitFor(command, work, print);
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

const isText = (output: Output | undefined): boolean => output === undefined || output === "wide";

function rendered(operation: Operation, output: Output | undefined, registry: Registry): string {
  if (output === "name") return `${plain(operation.name)}\n`;
  if (output === "json") return renderJson(operation, registry);
  if (output === "yaml") return documentOf("yaml", JSON.parse(renderJson(operation, registry)));
  return renderOperation(operation, registry);
}

async function list(command: Extract<ParsedCommand, { kind: "list" }>, work: Work): Promise<number> {
  const { filter, limit, output, headers } = command;
  const found: Operation[] = [];
  for (let pageToken = ""; ; ) {
    const pageSize = Math.min(limit - found.length, PAGE);
    const page = await work.operations.listOperations({ filter, pageSize, pageToken }, LIMIT);
    found.push(...page.operations);
    pageToken = page.nextPageToken;
    if (pageToken !== "" && found.length < limit) {
      continue;
    }
    if (!isText(output)) {
      work.out(found.map((operation) => rendered(operation, output, work.registry)).join(""));
    } else if (headers || found.length > 0) {
      work.out(renderTable(found, work.now(), { headers, wide: output === "wide" }));
    }
    if (pageToken !== "" && isText(output)) {
      work.err(`the newest ${found.length}; there are more: raise --limit, or narrow them down by --filter\n`);
    }
    return OK;
  }
}

/** So often a stream that was cut is asked for again without an answer: for about a minute. */
const MAX_RETRIES = 15;

/** Longest time (ms) before that is tried again. */
const MAX_RETRY_MS = 5_000;

/** Tells each step until the operation has ended. A server that ends, or a connection that breaks, before that is asked again. */
async function follow(
  name: string,
  work: Work,
  onChange: (operation: Operation) => void,
  signal?: AbortSignal,
): Promise<number> {
  const both = AbortSignal.any([signal, work.interrupted].filter((each) => each !== undefined));
  let last: Operation | undefined;
  for (let retries = 0; ; retries++) {
    try {
      for await (const operation of whileHeard((signal) => work.ours.watchOperation({ name }, { signal }), both)) {
        // A stream that is asked for again begins with what was told already.
        if (last === undefined || !equals(OperationSchema, last, operation)) onChange(operation);
        last = operation;
        retries = 0;
      }
    } catch (error) {
      if (both.aborted || last === undefined || retries >= MAX_RETRIES || !isCut(error)) throw error;
    }
    if (last?.done) return verdictOf(last);
    if (retries >= MAX_RETRIES) {
      work.err(`restartd operations: the server keeps ending the stream before the end of ${name}\n`);
      return FAILED;
    }
    if (retries === 0) work.err(`the stream ended before ${name} did; asking again\n`);
    await setTimeout(Math.min((work.retryMs ?? 500) * 2 ** retries, MAX_RETRY_MS), undefined, { signal: both });
  }
}

/** Waits for the end, and prints that alone. */
async function waitFor(
  { name, timeoutMs }: Extract<ParsedCommand, { kind: "wait" }>,
  work: Work,
  print: (operation: Operation) => void,
): Promise<number> {
  const limit = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
  const onChange = (operation: Operation): void => {
    if (operation.done) print(operation);
  };
  try {
    return await follow(name, work, onChange, limit);
  } catch (error) {
    if (!limit?.aborted) throw error;
    work.err(`restartd operations: timed out: ${name} goes on\n`);
    return EXIT.TIMED_OUT;
  }
}

/** The exit code of an operation that has ended. */
function verdictOf(operation: Operation): number {
  const metadata = metadataOf(operation);
  if (metadata?.state === RestartMetadata_State.SUCCEEDED) return OK;
  const outcome =
    metadata?.outcome === RestartMetadata_Outcome.APPLIED
      ? "applied"
      : metadata?.outcome === RestartMetadata_Outcome.NOT_APPLIED
        ? "not_applied"
        : "unknown";
  const { result } = operation;
  return exitOf(
    result.case === "error" ? { ...problemOfStatus(result.value), outcome } : { reason: "", code: 2, outcome },
  );
}
