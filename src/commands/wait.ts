import { createClient, type Client as RpcClient } from "@connectrpc/connect";
import { type Operation, Operations } from "../../gen/google/longrunning/operations_pb.ts";
import {
  RestartMetadata_Outcome as Outcome,
  RestartMetadata_State as State,
} from "../../gen/restart/operation/v1/operation_pb.ts";
import { plain } from "../core/plain.ts";
import type { Client, ClientContext } from "./client.ts";
import { EXIT, exitOf } from "./exit.ts";
import { createSlots, followOperation } from "./follow.ts";
import { problemOf, problemOfStatus } from "./problem.ts";
import { goDuration, linesProgress, type Progress, SILENT, terminalProgress } from "./progress.ts";
import { metadataOf, stateOf } from "./render.ts";
import type { Report, Result } from "./report.ts";

/** At most so many streams are open at a time. */
const AT_ONCE = 16;

/**
 * Follows the operations of what was sent, each to its end, and says what became of them.
 *
 * @param results are replaced by how each ended.
 * @param timeoutMs 0 for no limit.
 */
export async function waitFor(
  results: Result[],
  timeoutMs: number,
  report: Report,
  client: Client,
  context: ClientContext,
): Promise<void> {
  const waited = results.filter(({ problem, operation }) => problem === undefined && operation !== "");
  const progress = progressOf(waited, report, context);
  const limit = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
  const signal = limit === undefined ? context.interrupted : AbortSignal.any([context.interrupted, limit]);
  const began = context.now();
  const workers = Math.min(AT_ONCE, waited.length);
  // Each worker has one for its operation; what is left shows more of a rollout.
  const spare = createSlots(AT_ONCE - workers);
  // Documents come in the order given, each as soon as those before it are written.
  const going = new Set(waited.map((result) => results.indexOf(result)));
  let written = 0;
  const write = (): void => {
    for (let result = results[written]; result !== undefined && !going.has(written); result = results[++written]) {
      report.document(result);
    }
  };
  write();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < waited.length; index = next++) {
      const result = waited[index];
      if (result === undefined) continue;
      const following = {
        client,
        sleep: context.sleep,
        signal,
        spare,
        step: (step: Parameters<Progress["step"]>[1]) => progress.step(index, step),
      };
      const place = results.indexOf(result);
      const isLate = limit?.aborted === true && !context.interrupted.aborted;
      try {
        // Whose turn never came may have ended meanwhile.
        const operation =
          (isLate && (await lookOnce(result.operation, client))) ||
          (await followOperation(result.operation, result.subject, following));
        const ended = endOf(result, operation);
        results[place] = ended;
        progress.end(index, ended.problem === undefined ? lastWords(ended, operation) : "");
      } catch (error) {
        progress.end(index, "");
        results[place] = brokenOff(result, error, limit, client, context);
      }
      going.delete(place);
      write();
    }
    spare.add();
  };
  try {
    await Promise.all(Array.from({ length: workers }, worker));
  } finally {
    progress.close();
  }
  for (const result of results) report.ended(result, goDuration(context.now() - began));
}

/** Milliseconds that a last look may take. */
const LAST_LOOK_MS = 2_000;

/** An operation that has ended; undefined where it goes on, or where nobody says. */
async function lookOnce(name: string, { transport }: Client): Promise<Operation | undefined> {
  const operations: RpcClient<typeof Operations> = createClient(Operations, transport);
  const found = await operations.getOperation({ name }, { timeoutMs: LAST_LOOK_MS }).catch(() => undefined);
  return found?.done ? found : undefined;
}

function progressOf(waited: readonly Result[], report: Report, context: ClientContext): Progress {
  if (report.quiet || waited.length === 0) return SILENT;
  const labels = waited.map(({ subject }) => subject.label);
  if (context.terminal !== undefined && !report.structured) return terminalProgress(labels, context.terminal, context);
  const write = report.structured ? context.err : context.out;
  return linesProgress(labels, { write, aside: context.err, now: context.now });
}

const OUTCOMES = { [Outcome.APPLIED]: "applied", [Outcome.NOT_APPLIED]: "not_applied" } as const;

/** How an operation has ended. */
function endOf(result: Result, operation: Operation): Result {
  const metadata = metadataOf(operation);
  const state = stateOf(metadata);
  const outcome = OUTCOMES[metadata?.outcome as keyof typeof OUTCOMES] ?? "unknown";
  if (operation.result.case !== "error") {
    const isGood = metadata?.state === State.SUCCEEDED;
    return { ...result, state, outcome, exit: isGood ? EXIT.DONE : exitOf({ reason: "", outcome, code: 2 }) };
  }
  const problem = { ...problemOfStatus(operation.result.value), outcome };
  return { ...result, state, outcome, problem, exit: exitOf(problem) };
}

/** What is said last of what ended well. */
function lastWords({ subject }: Result, operation: Operation): string {
  const progress = metadataOf(operation)?.progress ?? "";
  // What is behind kubectl's sentence is about what is left over.
  if (subject.rollout !== undefined && progress !== "") return progress.replace(/; .*$/s, "");
  return `${subject.label} ${subject.done}${progress === "" ? "" : `: ${plain(progress)}`}`;
}

/** Nobody waits any longer: it goes on. */
function brokenOff(
  result: Result,
  error: unknown,
  limit: AbortSignal | undefined,
  { address }: Client,
  { interrupted }: ClientContext,
): Result {
  if (interrupted.aborted) return { ...result, brokenOff: "interrupted", exit: Number(interrupted.reason) };
  if (limit?.aborted) return { ...result, brokenOff: "timed out", exit: EXIT.TIMED_OUT };
  // It was applied, and how it ends nobody tells.
  return { ...result, problem: { ...problemOf(error, address, true), outcome: "unknown" }, exit: EXIT.UNKNOWN };
}
