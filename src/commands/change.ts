import { type Acknowledgement, CommandMistake, type Subject, type Verb, type Wish } from "../core/command.ts";
import { plain } from "../core/plain.ts";
import { WARNING_SENTENCES } from "../core/warnings.ts";
import { acknowledge, askAbout, passFreeze } from "./ask.ts";
import { type Client, type ClientContext, unempty } from "./client.ts";
import { EXIT, worstOf } from "./exit.ts";
import { locate } from "./locate.ts";
import { durationOf, type Parsed } from "./parse.ts";
import { createReport, type Report, type Result } from "./report.ts";
import { type Answer, sendAndAsk } from "./send.ts";
import { waitFor } from "./wait.ts";

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
    if (context.interrupted.aborted && results.length > 0) {
      context.err(`${plain(subject.label)}: interrupted before it was sent: nothing was changed\n`);
    } else results.push(await send(subject, plan, report, server, context));
  }
  if (plan.wait) await waitFor(results, plan.timeoutMs, report, server, context);
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
      const explained = await explainWarnings(result, report);
      report.sent(explained);
      return explained;
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

/** What a warning means: in the words that are ours; what the API server said itself, and what is newer than this program, the operation has. */
async function explainWarnings(result: Result, report: Report): Promise<Result> {
  const isStored = (token: string): boolean => token === "SERVER_WARNING" || WARNING_SENTENCES[token] === undefined;
  const isAsked = result.operation !== "" && result.warnings.some(({ token }) => isStored(token));
  const stored = isAsked ? await report.sentences(result.operation) : [];
  return {
    ...result,
    warnings: result.warnings.map(({ token }) => {
      const explained = stored.find((each) => isStored(token) && each.startsWith(`${token}: `));
      const ours = WARNING_SENTENCES[token] ?? "";
      return { token, message: explained?.slice(token.length + 2) ?? ours.charAt(0).toLowerCase() + ours.slice(1, -1) };
    }),
  };
}
