import { Failure, type Reason } from "../../../core/errors.ts";
import type { Client } from "../client.ts";
import { failureOfRead } from "../errors.ts";
import { createMemory } from "./memory.ts";

/**
 * Lists what is good to know beside what was asked for, and needs rights that restartd can do without: all of a collection, as the API
 * server has it in its cache. `denied`: restartd, or whom it acts as, may not, or the cluster serves no such thing; that is believed
 * for a while. Never rejects.
 */
export type SideList = <Item>(path: string, query?: Readonly<Record<string, string>>) => Promise<Looked<Item>>;

/** What a {@link SideList} brings. */
export type Looked<Item> = readonly Item[] | "denied" | Failure;

/** Bounds (ms) a list: nobody waits long for what is only good to know. */
const TIMEOUT_MS = 3_000;

/** Bound (bytes) on what a list may bring: some thousand pods. */
const MAX_BYTES = 32 * 1024 * 1024;

/** How long (ms) it is believed that something may not be listed. */
const DENIED_MS = 60_000;

/** What says that it may not be listed, or is nothing there. */
const DENIED: ReadonlySet<Reason> = new Set<Reason>(["RBAC_DENIED", "IMPERSONATION_DENIED", "API_VERSION_NOT_SERVED"]);

/** Denials that are remembered. */
const REMEMBERED = 1_000;

/** Makes a cluster's {@link SideList}. `monotonic` is a clock in milliseconds that never goes back. */
export function createSideList(cluster: string, client: Client, monotonic: () => number): SideList {
  const denied = createMemory<number>(REMEMBERED);
  return async <Item>(path: string, query: Readonly<Record<string, string>> = {}): Promise<Looked<Item>> => {
    const until = denied.get(path);
    if (until !== undefined && monotonic() < until) {
      return "denied";
    }
    try {
      const answer = await client.request({
        method: "GET",
        operation: "list",
        path,
        query: { resourceVersion: "0", ...query },
        signal: AbortSignal.timeout(TIMEOUT_MS),
        timeoutMs: TIMEOUT_MS,
        maxBytes: MAX_BYTES,
      });
      const items = (answer.json as { items?: unknown } | null | undefined)?.items;
      if (answer.status === 200 && Array.isArray(items)) {
        return items;
      }
      throw failureOfRead(answer, { cluster, verb: "list", what: path, as: client.as });
    } catch (error) {
      const failure =
        error instanceof Failure ? error : failureOfRead(error, { cluster, verb: "list", what: path, as: client.as });
      if (!DENIED.has(failure.reason)) {
        return failure;
      }
      denied.set(path, monotonic() + DENIED_MS);
      return "denied";
    }
  };
}
