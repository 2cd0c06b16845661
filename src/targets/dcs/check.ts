import { Failure } from "../../core/errors.ts";
import type { DcsClient } from "./client.ts";
import {
  type Ask,
  type Checked,
  FLUSH_RISK,
  refusalOfCall,
  refusalOfState,
  riskByAppendOnly,
  riskByNodes,
} from "./guards.ts";
import type { DcsInstance } from "./instance.ts";

/** How many instances are read at a time. */
const CONCURRENCY = 8;

/**
 * Reads every instance of a call, and what its data hangs on, and judges all of it.
 *
 * @returns for each instance how it was, or why nothing is sent for it.
 * @throws Failure why nothing is sent for any of them: every missing instance and every missing acknowledgement at once; or that DCS
 *   refuses our own credentials, which no further request is made with: five refusals in a row lock an access key (contracts: E.3).
 */
export async function checkAll(
  client: DcsClient,
  ask: Ask,
  signal: AbortSignal,
): Promise<readonly (DcsInstance | Failure)[]> {
  const read = await each(ask.instanceIds, (id) => check(client, ask, id, signal));
  const checked = read.filter((one): one is Checked => !(one instanceof Failure));
  const missing = read.filter((one): one is Failure => one instanceof Failure && one.reason === "TARGET_NOT_FOUND");
  const refusal = refusalOfCall(ask, checked, missing);
  if (refusal !== undefined) {
    throw refusal;
  }
  return read.map((one) => (one instanceof Failure ? one : (refusalOfState(ask, one.instance) ?? one.instance)));
}

/** One instance and what its data hangs on, or why it could not be read. */
async function check(client: DcsClient, ask: Ask, id: string, signal: AbortSignal): Promise<Checked | Failure> {
  try {
    const instance = await client.instance(id, signal);
    return { instance, risk: ask.acknowledged ? undefined : await riskOf(client, ask, instance, signal) };
  } catch (error) {
    if (error instanceof Failure && !signal.aborted && !refusesUs(error)) return error;
    throw error;
  }
}

const refusesUs = ({ reason }: Failure): boolean => reason === "VENDOR_CREDENTIALS_REJECTED";

/** Why an action may lose the instance's data; undefined where it does not. */
async function riskOf(
  client: DcsClient,
  { action }: Ask,
  instance: DcsInstance,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (action === "flush") return FLUSH_RISK;
  return (
    riskByNodes(instance) ??
    riskByAppendOnly(
      await client.appendOnly(instance.instanceId, signal).catch((error: unknown) => {
        // What cannot be read counts as off; that somebody has asked too often says nothing of it.
        const isUnread = error instanceof Failure && !refusesUs(error) && error.reason !== "THROTTLED";
        if (isUnread && !signal.aborted) return undefined;
        throw error;
      }),
    )
  );
}

/** Does the same for each: for the first alone, since what it throws is thrown by all, and then for a few at a time. */
async function each<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const entries = items.entries();
  const one = async ([index, item]: [number, Item]): Promise<void> => {
    results[index] = await work(item);
  };
  const worker = async (): Promise<void> => {
    for (const entry of entries) await one(entry);
  };
  const first = entries.next();
  if (!first.done) await one(first.value);
  await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  return results;
}
