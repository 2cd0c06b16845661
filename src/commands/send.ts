import { type CallOptions, ConnectError } from "@connectrpc/connect";
import type { Sent, Subject, Wish } from "../core/command.ts";
import type { ClientContext } from "./client.ts";
import { type Problem, problemOf, problemOfStatus } from "./problem.ts";

/** What became of a call. */
export interface Answer {
  /** operations/{id}; empty for a dry run and for what was refused before. */
  readonly operation: string;
  /** Tokens of the header `restart-warning`. */
  readonly warnings: readonly string[];
  /** Behind the sentence. */
  readonly note: string;
  readonly problem: Problem | undefined;
}

/** What sending needs. */
export interface Sending extends Pick<ClientContext, "sleep" | "interrupted"> {
  readonly address: string;
  /** Told before a question is asked again. */
  again(): void;
}

/** Waits (ms) before each further question about a call whose answer was lost: about half a minute. */
const ASK_AGAIN_MS = [1000, 2000, 4000, 8000, 15_000];

/** So long (ms) an answer is waited for: a proxy that swallows answers says nothing at all. */
const ANSWER_LIMIT_MS = 30_000;

/** So long (ms) after a signal the last question may take. */
const LAST_LIMIT_MS = 5_000;

/**
 * Makes a call, and where its answer is lost asks again under the same request id: by contract that answers what became of the first and
 * sends nothing twice. A signal cuts the waiting short: then it is asked once more.
 */
export async function sendAndAsk(subject: Subject, wish: Wish, sending: Sending): Promise<Answer> {
  const { interrupted, sleep, again } = sending;
  let answer = await sendOnce(subject, wish, sending, interrupted, ANSWER_LIMIT_MS);
  if (answer.problem?.kind !== "lost") return answer;
  for (const wait of ASK_AGAIN_MS) {
    if (interrupted.aborted) break;
    again();
    await sleep(wait, interrupted).catch(() => {}); // a signal: it is asked once more below
    if (interrupted.aborted) break;
    answer = await sendOnce(subject, wish, sending, interrupted, ANSWER_LIMIT_MS);
    if (isTold(answer)) return answer;
  }
  if (interrupted.aborted) {
    again();
    const last = await sendOnce(subject, wish, sending, undefined, LAST_LIMIT_MS);
    if (isTold(last)) return last;
  }
  return answer.problem?.kind === "unsent"
    ? { ...answer, problem: { ...answer.problem, kind: "lost", outcome: "unknown", exit: 5 } }
    : answer;
}

/** Whether restartd has answered. */
const isTold = ({ problem }: Answer): boolean => problem === undefined || problem.kind === "answer";

async function sendOnce(
  subject: Subject,
  wish: Wish,
  { address }: Sending,
  signal: AbortSignal | undefined,
  limitMs: number,
): Promise<Answer> {
  const limit = AbortSignal.timeout(limitMs);
  let header = new Headers();
  const options: CallOptions = {
    signal: signal === undefined ? limit : AbortSignal.any([signal, limit]),
    onHeader: (received) => {
      header = received;
    },
  };
  try {
    const sent = await subject.send(wish, options);
    return answerOf(header, sent);
  } catch (error) {
    const problem = problemOf(error, address, !wish.validateOnly);
    return { ...answerOf(ConnectError.from(error).metadata, {}), problem };
  }
}

function answerOf(header: Headers, { note = "", operation = "", error }: Sent): Answer {
  return {
    operation: operation || (header.get("operation-name") ?? ""),
    warnings: (header.get("restart-warning") ?? "").split(",").flatMap((token) => token.trim() || []),
    note,
    problem: error && problemOfStatus(error),
  };
}
