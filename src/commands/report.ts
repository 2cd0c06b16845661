import type { JsonValue } from "@bufbuild/protobuf";
import { ADVICE } from "../../gen/advice.ts";
import type { Subject } from "../core/command.ts";
import { plain } from "../core/plain.ts";
import type { Client, ClientContext } from "./client.ts";
import { EXIT } from "./exit.ts";
import type { Parsed } from "./parse.ts";
import { type Problem, sentenceOf, statusJson } from "./problem.ts";
import { warningsReader } from "./warnings.ts";
import { yamlOf } from "./yaml.ts";

/** What became of one target. */
export interface Result {
  readonly subject: Subject;
  readonly requestId: string;
  /** operations/{id}; empty when there is none. */
  readonly operation: string;
  readonly warnings: readonly { readonly token: string; readonly message: string }[];
  /** Behind the sentence. */
  readonly note: string;
  readonly outcome: "applied" | "not_applied" | "unknown";
  /** Of the operation, once it has ended. */
  readonly state: string | undefined;
  readonly problem: Problem | undefined;
  /** Why it was not waited for to its end. */
  readonly brokenOff?: "interrupted" | "timed out";
  readonly exit: number;
}

/** Says what becomes of targets: results on stdout, everything else on stderr. */
export interface Report {
  readonly quiet: boolean;
  /** Whether stdout is for a program. */
  readonly structured: boolean;
  /** A call was answered. */
  sent(result: Result): void;
  /** Nobody waits for it any longer. */
  ended(result: Result, after: string): void;
  /** The document of a target, where documents are wanted. */
  document(result: Result): void;
  /** Said to whoever wants to know more. */
  verbose(text: string): void;
  /** The sentences of an operation's warnings. */
  sentences(operation: string): Promise<readonly string[]>;
}

/** What is said of an outcome behind an error. */
const OUTCOME_WORDS: Readonly<Record<Result["outcome"], string>> = {
  not_applied: "nothing was changed",
  applied: "it was applied before that",
  unknown: "nobody can tell yet whether it was applied",
};

/** The flag that goes on in spite of a refusal, for whoever cannot be asked. */
function flagOf({ reason, freeze }: Problem): string | undefined {
  const [, what] = /^(DATA_LOSS|OUTAGE|DELETION)_NOT_ACKNOWLEDGED$/.exec(reason) ?? [];
  if (what !== undefined) return `--acknowledge-${what.toLowerCase().replace("_", "-")}`;
  return freeze === "" ? undefined : "--override-freeze";
}

/** Starts a report. */
export function createReport(
  parsed: Parsed,
  { dryRun }: { readonly dryRun: boolean },
  client: Client,
  { out, err, colors }: ClientContext,
): Report {
  const format = parsed.text("output");
  const structured = format === "json" || format === "yaml" || format === "name";
  const quiet = parsed.has("quiet");
  const isVerbose = parsed.has("verbose");
  const color = parsed.text("color");
  const yellow = (color ?? (colors ? "always" : "never")) === "always";
  const warn = (text: string): void => err(yellow ? `\x1b[33m${text}\x1b[39m\n` : `${text}\n`);
  let documents = 0;

  const fail = ({ subject, problem, operation, requestId, exit, outcome }: Result): void => {
    if (problem === undefined) return;
    const label = plain(subject.label);
    err(`error: ${label}: ${sentenceOf(problem)}\n`);
    for (const line of problem.more) err(`${line}\n`);
    const flag = flagOf(problem);
    if (flag !== undefined) err(`to go on in spite of that, say ${flag}\n`);
    err(`${OUTCOME_WORDS[outcome]}\n`);
    if (exit === EXIT.UNKNOWN && operation === "") err(`ask again with --request-id ${requestId}\n`);
    const advice = ADVICE[problem.reason];
    if (isVerbose && advice !== undefined) err(`${advice}\n`);
  };

  return {
    quiet,
    structured,
    verbose: (text) => {
      if (isVerbose) err(`${plain(text)}\n`);
    },
    sentences: warningsReader(client),
    sent(result) {
      const { subject, warnings, note, operation } = result;
      for (const { token, message } of quiet ? [] : warnings) {
        warn(`Warning: ${plain(token)}${message === "" ? "" : `: ${plain(message)}`}`);
      }
      if (result.problem !== undefined) return fail(result);
      if (structured) return;
      const words = dryRun ? `${subject.done} (server dry run)` : [subject.done, note].filter(Boolean).join(" ");
      const wide =
        format === "wide" && operation !== "" ? `  ${operation}  ${client.address}/console/${operation}` : "";
      out(`${plain(`${subject.label} ${words}`)}${plain(wide)}\n`);
    },
    ended(result, after) {
      const { subject, operation, state, brokenOff } = result;
      const label = plain(subject.label);
      if (brokenOff !== undefined) {
        const why = brokenOff === "timed out" ? `error: ${label}: timed out after ${after} of waiting` : label;
        err(`${why}: it goes on as ${operation}\nrestartd operations watch ${operation}\n`);
      } else if (state !== undefined && result.problem !== undefined) {
        fail(result);
        err(`${operation}\n`);
        if (state === "UNRESOLVED") {
          err(`once you know: restartd operations resolve ${operation} --outcome applied|not_applied --note TEXT\n`);
        }
      } else if (result.problem !== undefined && operation !== "" && result.exit === EXIT.UNKNOWN) {
        fail(result);
        err(`restartd operations watch ${operation}\n`);
      }
    },
    document(result) {
      if (format === "name") {
        if (result.problem === undefined && result.exit !== EXIT.DECLINED) out(`${plain(result.subject.label)}\n`);
      } else if (format === "json") {
        out(`${JSON.stringify(documentOf(result))}\n`);
      } else if (format === "yaml") {
        out(`${documents++ === 0 ? "" : "---\n"}${yamlOf(documentOf(result))}`);
      }
    },
  };
}

function documentOf(result: Result): JsonValue {
  const { subject, operation, outcome, state, warnings, problem } = result;
  return {
    target: subject.target,
    operation,
    action: subject.action,
    outcome,
    ...(state !== undefined && { state }),
    warnings: warnings.map(({ token, message }) => ({ token, message })),
    ...(problem !== undefined && { error: statusJson(problem.status) }),
  };
}
