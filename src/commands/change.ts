import type { Operation } from "../../gen/google/longrunning/operations_pb.ts";
import {
  RestartMetadata_Outcome as Outcome,
  RestartMetadata_State as State,
} from "../../gen/restart/operation/v1/operation_pb.ts";
import { type Acknowledgement, CommandMistake, type Subject, type Verb, type Wish } from "../core/command.ts";
import { plain } from "../core/plain.ts";
import { acknowledge, askAbout, passFreeze } from "./ask.ts";
import { type Client, type ClientContext, unempty } from "./client.ts";
import { EXIT, exitOf, worstOf } from "./exit.ts";
import { followOperation } from "./follow.ts";
import { locate } from "./locate.ts";
import { durationOf, type Parsed } from "./parse.ts";
import { problemOf, problemOfStatus } from "./problem.ts";
import { goDuration, linesProgress, type Progress, SILENT, terminalProgress } from "./progress.ts";
import { metadataOf, stateOf } from "./render.ts";
import { createReport, type Report, type Result } from "./report.ts";
import { type Answer, sendAndAsk } from "./send.ts";

/** What a command that changes something was told. */
interface Plan {
  readonly verb: Verb;
  readonly dryRun: boolean;
  readonly wait: boolean;
  /** Milliseconds; 0 for no limit. */
  readonly timeoutMs: number;
  readonly requestId: string | undefined;
  readonly reason: string;
  readonly acknowledged: ReadonlySet<Acknowledgement>;
  readonly overrideFreeze: boolean;
}

const ACKNOWLEDGEMENTS = ["data-loss", "outage", "deletion"] as const;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

function planOf(verb: Verb, parsed: Parsed, { env }: ClientContext): Plan {
  const wait = parsed.has("wait");
  const timeout = parsed.text("timeout");
  if (timeout !== undefined && !wait) throw new CommandMistake("--timeout needs --wait: nothing else is waited for");
  const requestId = parsed.text("request-id");
  if (requestId !== undefined && !UUID.test(requestId)) {
    throw new CommandMistake(`--request-id ${JSON.stringify(requestId)} is not a UUID`);
  }
  const dryRun = parsed.text("dry-run") === "server";
  if (dryRun && wait) throw new CommandMistake("--wait and --dry-run exclude each other: a dry run begins nothing");
  if (parsed.has("soft") && parsed.has("hard")) throw new CommandMistake("--soft and --hard exclude each other");
  const timeoutMs = timeout === undefined ? 0 : durationOf("timeout", timeout);
  const reason = parsed.text("reason") ?? unempty(env.RESTARTD_REASON) ?? "";
  const acknowledged = new Set(ACKNOWLEDGEMENTS.filter((each) => parsed.has(`acknowledge-${each}`)));
  const overrideFreeze = parsed.has("override-freeze");
  return { verb, dryRun, wait, timeoutMs, requestId, reason, acknowledged, overrideFreeze };
}

/** Restarts, refreshes, retries or flushes, and answers the exit code. */
export async function change(
  verb: Verb,
  parsed: Parsed,
  client: () => Client,
  context: ClientContext,
): Promise<number> {
  const plan = planOf(verb, parsed, context);
  const manner = parsed.has("soft") ? "soft" : parsed.has("hard") ? "hard" : undefined;
  const [selector = "", all] = [parsed.text("selector"), parsed.has("all")];
  const server = client();
  const subjects = await locate({ verb, operands: parsed.operands, selector, all, manner }, server);
  if (plan.requestId !== undefined && subjects.length > 1) {
    throw new CommandMistake(`--request-id is for one target, and these are ${subjects.length}`);
  }
  if (subjects.length === 0) {
    context.err("nothing found: nothing was changed\n");
    return EXIT.DONE;
  }
  const report = createReport(parsed, plan, server, context);
  const isList = selector !== "" || all || subjects.length > 1;
  if (isList && !plan.dryRun && !parsed.has("yes") && !(await askAbout(verb, subjects, context))) {
    context.err("nothing was changed\n");
    return context.interrupted.aborted ? Number(context.interrupted.reason) : EXIT.DECLINED;
  }
  const results: Result[] = [];
  for (const subject of subjects) {
    if (context.interrupted.aborted && results.length > 0) break;
    results.push(await send(subject, plan, report, server, context));
  }
  if (plan.wait) await waitFor(results, plan, report, server, context);
  else for (const result of results) report.document(result);
  const code = worstOf(results.map(({ exit }) => exit));
  const isCut = context.interrupted.aborted && (plan.wait || results.length < subjects.length);
  return isCut && code !== EXIT.UNKNOWN ? Number(context.interrupted.reason) : code;
}

/** Makes the call about one target; what may be lost is asked for where somebody can answer. */
async function send(
  subject: Subject,
  plan: Plan,
  report: Report,
  { address }: Client,
  context: ClientContext,
): Promise<Result> {
  const requestId = plan.requestId ?? context.newId();
  report.verbose(`${subject.label}: request id ${requestId}`);
  const sending = {
    ...context,
    address,
    again: () => report.verbose(`${subject.label}: no answer; asking again under the same request id`),
  };
  const { reason, acknowledged, overrideFreeze } = plan;
  let wish: Wish = { requestId, validateOnly: plan.dryRun, reason, acknowledged, overrideFreeze };
  for (;;) {
    const answer = await sendAndAsk(subject, wish, sending);
    const result: Result = {
      subject,
      requestId,
      operation: answer.operation,
      warnings: answer.warnings.map((token) => ({ token, message: "" })),
      note: answer.note,
      outcome: answer.problem?.outcome ?? (plan.dryRun ? "not_applied" : "applied"),
      state: undefined,
      problem: answer.problem,
      exit: answer.problem?.exit ?? EXIT.DONE,
    };
    const more = await askForMore(subject, wish, answer, context);
    if (more === "declined") {
      context.err("nothing was changed\n");
      return { ...result, exit: EXIT.DECLINED };
    }
    if (more === undefined) {
      const told = await explainWarnings(result, report);
      report.sent(told);
      return told;
    }
    wish = more;
  }
}

/** What is wished for once a person has said what was missing; undefined where no word of theirs helps, or nobody can be asked. */
async function askForMore(
  subject: Subject,
  wish: Wish,
  { operation, problem }: Answer,
  context: ClientContext,
): Promise<Wish | "declined" | undefined> {
  // What became an operation is answered so again, whatever is said.
  if (problem === undefined || operation !== "" || context.ask === undefined) return undefined;
  const { reason, preconditions, freeze } = problem;
  if (freeze !== "" && !wish.overrideFreeze) {
    const goesOn = await passFreeze(freeze, subject, preconditions, context);
    return goesOn ? { ...wish, overrideFreeze: true } : "declined";
  }
  const missing = ACKNOWLEDGEMENTS.find((each) => reason === reasonOf(each));
  if (missing === undefined || wish.acknowledged.has(missing)) return undefined;
  const isAccepted = await acknowledge(missing, subject, preconditions, context);
  return isAccepted ? { ...wish, acknowledged: new Set([...wish.acknowledged, missing]) } : "declined";
}

const reasonOf = (acknowledgement: Acknowledgement): string =>
  `${acknowledgement.toUpperCase().replace("-", "_")}_NOT_ACKNOWLEDGED`;

/** The sentences behind a warning's tokens are in the operation's metadata. */
async function explainWarnings(result: Result, report: Report): Promise<Result> {
  if (result.warnings.length === 0 || result.operation === "") return result;
  const sentences = await report.sentences(result.operation);
  return {
    ...result,
    warnings: result.warnings.map(({ token }) => {
      const sentence = sentences.find((each) => each.startsWith(`${token}: `));
      return { token, message: sentence?.slice(token.length + 2) ?? "" };
    }),
  };
}

/** At most so many operations are followed at a time. */
const AT_ONCE = 16;

async function waitFor(
  results: Result[],
  plan: Plan,
  report: Report,
  client: Client,
  context: ClientContext,
): Promise<void> {
  const waited = results.filter(({ problem, operation }) => problem === undefined && operation !== "");
  const progress = progressOf(waited, report, context);
  const limit = plan.timeoutMs === 0 ? undefined : AbortSignal.timeout(plan.timeoutMs);
  const signal = limit === undefined ? context.interrupted : AbortSignal.any([context.interrupted, limit]);
  const began = context.now();
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let index = next++; index < waited.length; index = next++) {
      const result = waited[index];
      if (result === undefined) continue;
      const following = {
        client,
        sleep: context.sleep,
        signal,
        step: (step: Parameters<Progress["step"]>[1]) => progress.step(index, step),
      };
      const place = results.indexOf(result);
      try {
        const operation = await followOperation(result.operation, result.subject, following);
        const ended = endOf(result, operation);
        results[place] = ended;
        progress.end(index, ended.problem === undefined ? lastWords(ended, operation) : "");
      } catch (error) {
        progress.end(index, "");
        results[place] = brokenOff(result, error, limit, client, context);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, waited.length) }, worker));
  } finally {
    progress.close();
  }
  for (const [index, result] of results.entries()) {
    report.ended(result, goDuration(context.now() - began));
    report.document(results[index] ?? result);
  }
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
