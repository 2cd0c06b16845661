import { type CallOptions, ConnectError } from "@connectrpc/connect";
import type { InstanceResult } from "../../../gen/restart/dcs/v1/instance_service_pb.ts";
import { jittered, sleep } from "../browser.ts";
import { NO_ANSWER, type Problem, problemOf } from "./problem.ts";

/** What is asked for: once for the check, once for the submission. */
export interface Ask {
  readonly validateOnly: boolean;
  /** Empty for the check. */
  readonly requestId: string;
  readonly reason: string;
  readonly acknowledged: boolean;
  /** Whether it goes on although a freeze is in the way. */
  readonly overrideFreeze: boolean;
}

/** What a target answers to what is done to it. */
export interface Answer {
  /** operations/{id}; empty for the check. */
  readonly operation: string;
  /** Tokens of the header `restart-warning`. */
  readonly warnings: readonly string[];
  /** Of a call about several: what became of each. */
  readonly results: readonly InstanceResult[];
}

/** Something that a person means to do to a target. */
export interface Intent {
  /** What is done: `Restart`, `Soft restart`. */
  readonly verb: string;
  /** While it is done: `Restarting…`. */
  readonly doing: string;
  /** What it is done to, in short: `web`, `2 instances`. */
  readonly subject: string;
  /** Name of the dialog: `Restart deployment.apps shop/web`. */
  readonly title: string;
  /** What this does, in a sentence. */
  readonly what: string;
  /** What it is about: how many pods, which instances. */
  readonly scope: readonly string[];
  /** What is said when the check is passed. */
  readonly checked: string;
  /** What may have to be acknowledged. */
  readonly acknowledgement?: Acknowledgement;
  send(ask: Ask, options: CallOptions): Promise<{ readonly results?: readonly InstanceResult[] }>;
}

/** What has to be said before something is lost, or done in spite of a freeze. */
export interface Acknowledgement {
  readonly kind: "data_loss" | "outage" | "deletion" | "freeze";
  /** Whether it is asked for before the server has asked for it. */
  readonly always: boolean;
  /** What is typed; an outage is ticked. */
  readonly word: string;
  /** What the field is called. */
  readonly label: string;
}

/** A failed call, and the operation that it became all the same. */
export interface Refused {
  readonly problem: Problem;
  /** operations/{id}; empty when there is none. */
  readonly operation: string;
}

/** Waits (ms) before each further question about a call whose answer was lost: about half a minute. */
const ASK_AGAIN_MS = [1000, 2000, 4000, 8000, 15_000];

/** So long (ms) an answer is waited for: a proxy that swallows answers says nothing at all. */
const ANSWER_LIMIT_MS = 30_000;

/** Makes a call once. */
export async function sendOnce(intent: Intent, ask: Ask, signal: AbortSignal): Promise<Answer | Refused> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_LIMIT_MS)]);
  let header = new Headers();
  const onHeader = (received: Headers): void => {
    header = received;
  };
  try {
    const { results = [] } = await intent.send(ask, { signal: limit, onHeader });
    return { ...readHeader(header), results };
  } catch (error) {
    signal.throwIfAborted();
    const { operation } = readHeader(ConnectError.from(error).metadata);
    return { problem: problemOf(error, !ask.validateOnly), operation };
  }
}

/**
 * Makes a call, and where its answer is lost asks again under the same id: by contract that answers what became of the first and
 * sends nothing twice.
 *
 * @param lost told when the first answer was lost.
 */
export async function sendAndAsk(intent: Intent, ask: Ask, lost: () => void): Promise<Answer | Refused> {
  const { signal } = new AbortController(); // nobody recalls what may be on its way
  for (const wait of [0, ...ASK_AGAIN_MS]) {
    if (wait > 0) await sleep(jittered(wait), signal);
    const answer = await sendOnce(intent, ask, signal);
    if (!isLost(answer)) return answer;
    lost();
    if (wait === ASK_AGAIN_MS.at(-1)) return answer;
  }
  throw new Error("there is a last wait");
}

/** Whether nobody knows what became of a call. */
export const isLost = (answer: Answer | Refused): answer is Refused =>
  "problem" in answer && answer.problem.reason === NO_ANSWER;

function readHeader(header: Headers): Pick<Answer, "operation" | "warnings"> {
  const warnings = header.get("restart-warning") ?? "";
  return {
    operation: header.get("operation-name") ?? "",
    warnings: warnings.split(",").flatMap((token) => token.trim() || []),
  };
}
