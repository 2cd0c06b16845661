import { setTimeout as delay } from "node:timers/promises";
import type { ControlPlane } from "../test/cluster/attach.ts";
import { createDeployments } from "./deployments.ts";
import { Gun } from "./load.ts";
import { cpuSeconds } from "./process.ts";

/** What rollouts cost that run and that nobody asks about. */
export interface OpenRollouts {
  /** Requests about Deployments that reached the API server, a minute. */
  readonly requests: number;
  /** CPU of restartd, in parts of a core. */
  readonly cpu: number;
}

/** Restarts at a time while the rollouts are begun. */
const CALLERS = 16;

/** Between the last restart and the measurement: first looks, and whatever else a restart leaves behind, are over. */
const SETTLE_MS = 15_000;

/**
 * Has so many rollouts run, of Deployments whose controllers stand still so that they never end, and measures for a while.
 *
 * @param seconds how long.
 */
export async function openRollouts(
  cluster: ControlPlane,
  { url, pid }: { readonly url: string; readonly pid: number },
  count: number,
  seconds: number,
): Promise<OpenRollouts> {
  const { ourShot, names } = await createDeployments(cluster, count);
  using gun = new Gun(url);
  let left = names.length;
  const caller = async (): Promise<void> => {
    while (left-- > 0) await gun.fire(ourShot());
  };
  await Promise.all(Array.from({ length: CALLERS }, caller));
  await delay(SETTLE_MS);
  const before = { cpu: cpuSeconds(pid), requests: await requestsAboutDeployments(cluster) };
  await delay(seconds * 1000);
  const after = { cpu: cpuSeconds(pid), requests: await requestsAboutDeployments(cluster) };
  return {
    requests: ((after.requests - before.requests) * 60) / seconds,
    cpu: (after.cpu - before.cpu) / seconds,
  };
}

/** As the API server counts them. */
async function requestsAboutDeployments(cluster: ControlPlane): Promise<number> {
  const { body } = await cluster.request("GET", "/metrics");
  return [...body.matchAll(/^apiserver_request_total\{([^}]*)\} (\d+)$/gm)]
    .filter(([, labels]) => labels?.includes('resource="deployments"'))
    .reduce((sum, [, , value]) => sum + Number(value), 0);
}
