import { equals, toJson } from "@bufbuild/protobuf";
import { CommandMistake, type RolloutStep, type Subject } from "../core/command.ts";
import { plain } from "../core/plain.ts";
import type { Client, ClientContext } from "./client.ts";
import { EXIT } from "./exit.ts";
import { isCut } from "./follow.ts";
import { locate } from "./locate.ts";
import { durationOf, type Parsed } from "./parse.ts";
import { problemOf, sentenceOf } from "./problem.ts";
import { goDuration, linesProgress, terminalProgress } from "./progress.ts";
import { whileHeard } from "./while-heard.ts";
import { documentOf } from "./yaml.ts";

/** First and longest wait (ms) before a stream that was cut is asked for again. */
const RETRY_MS = 500;
const MAX_RETRY_MS = 5_000;

/** Follows the rollout that is in place, as `kubectl rollout status` does, and answers the exit code. */
export async function rolloutStatus(parsed: Parsed, client: () => Client, context: ClientContext): Promise<number> {
  const isWatched = parsed.text("watch") !== "false";
  const timeout = parsed.text("timeout");
  if (timeout !== undefined && !isWatched) throw new CommandMistake("--timeout and --watch=false exclude each other");
  const timeoutMs = timeout === undefined ? 0 : durationOf("timeout", timeout);
  const server = client();
  const target = { verb: "restart", operands: parsed.operands, selector: "", all: false, manner: undefined } as const;
  const subjects = await locate(target, server);
  const [subject] = subjects;
  if (subject?.rollout === undefined)
    throw new CommandMistake("rollout status is for workloads, such as deployment/web");
  if (subjects.length > 1) throw new CommandMistake("rollout status is for one target");
  const { rollout } = subject;
  return isWatched
    ? await watch({ ...subject, rollout }, timeoutMs, parsed, server, context)
    : await look(subject, parsed, server, context);
}

const isTold = (parsed: Parsed): boolean => parsed.text("output") === undefined || parsed.text("output") === "wide";

/** Says once how it stands: the first message of a watch, which comes at once. */
async function look(subject: Subject, parsed: Parsed, client: Client, context: ClientContext): Promise<number> {
  const end = new AbortController();
  let first: RolloutStep | undefined;
  const signal = AbortSignal.any([context.interrupted, end.signal, AbortSignal.timeout(30_000)]);
  try {
    for await (const step of subject.rollout?.("", { signal }) ?? []) {
      first = step;
      break;
    }
  } catch (error) {
    return fail(subject, error, client, context);
  } finally {
    end.abort();
  }
  if (first === undefined) return EXIT.REFUSED;
  print(first, subject, parsed, context);
  return first.complete ? EXIT.DONE : EXIT.REFUSED;
}

function print(step: RolloutStep, subject: Subject, parsed: Parsed, { out }: ClientContext): void {
  const format = parsed.text("output");
  if (format === "name") out(`${plain(subject.label)}\n`);
  else if (format === "json" || format === "yaml") out(documentOf(format, toJson(step.schema, step.answer)));
  else out(`${plain(step.message)}\n`);
}

async function watch(
  subject: Subject & Required<Pick<Subject, "rollout">>,
  timeoutMs: number,
  parsed: Parsed,
  client: Client,
  context: ClientContext,
): Promise<number> {
  const limit = timeoutMs === 0 ? undefined : AbortSignal.timeout(timeoutMs);
  const signal = limit === undefined ? context.interrupted : AbortSignal.any([context.interrupted, limit]);
  const open = (heard: AbortSignal) => subject.rollout("", { signal: heard });
  const progress =
    context.terminal !== undefined && isTold(parsed)
      ? terminalProgress([subject.label], context.terminal, context)
      : linesProgress([subject.label], {
          write: isTold(parsed) ? context.out : () => {},
          aside: context.err,
          now: context.now,
        });
  let last: RolloutStep | undefined;
  try {
    for (let retries = 0; ; retries++) {
      try {
        for await (const step of whileHeard(open, signal)) {
          retries = 0;
          // A stream that is asked for again begins with what was told already.
          if (last !== undefined && equals(step.schema, last.answer, step.answer)) continue;
          last = step;
          const detail = step.complete ? "" : step.detail;
          progress.step(0, { text: step.message, done: step.done, of: step.of, detail });
          if (!isTold(parsed) && parsed.text("output") !== "name") print(step, subject, parsed, context);
        }
        if (last?.complete) {
          progress.end(0, last.message);
          if (parsed.text("output") === "name") print(last, subject, parsed, context);
          return EXIT.DONE;
        }
      } catch (error) {
        if (context.interrupted.aborted) return Number(context.interrupted.reason);
        if (limit?.aborted) {
          progress.close();
          context.err(
            `error: ${plain(subject.label)}: timed out after ${goDuration(timeoutMs)} of waiting: it goes on\n`,
          );
          return EXIT.TIMED_OUT;
        }
        // What was followed once is asked for again; a server that was never there is not waited for.
        if (last === undefined || !isCut(error)) {
          progress.close();
          return fail(subject, error, client, context);
        }
      }
      await context.sleep(Math.min(RETRY_MS * 2 ** Math.min(retries, 8), MAX_RETRY_MS), signal).catch(() => {});
    }
  } finally {
    progress.close();
  }
}

function fail(subject: Subject, error: unknown, { address }: Client, { err }: ClientContext): number {
  const problem = problemOf(error, address, false);
  err(`error: ${plain(subject.label)}: ${sentenceOf(problem)}\n`);
  return problem.exit;
}
