import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { WorkloadService } from "../gen/restart/kubernetes/v1/workload_service_pb.ts";
import type { ControlPlane } from "../test/cluster/attach.ts";
import { median, quantile, type Shot } from "./load.ts";
import type { Others } from "./others.ts";
import { cpuSeconds, residentMb } from "./process.ts";

/** What {@link watchers} watches. */
export interface WatchersOptions {
  readonly cluster: ControlPlane;
  readonly url: string;
  /** restartd's process. */
  readonly pid: number;
  readonly namespace: string;
  readonly name: string;
  /** How many watch the one object. */
  readonly count: number;
  /** What other callers ask for meanwhile, in turn, of other objects. */
  readonly others: readonly Shot[];
}

/** What watching costs. */
export interface Watched {
  /** Watches of Deployments that the API server has more. */
  readonly upstream: number;
  /** Kilobytes for each watcher. */
  readonly kbEach: number;
  /** From sending a change to the last watcher, in ms: the median of the changes, and the longest. */
  readonly median: number;
  readonly longest: number;
  /** CPU of restartd for a message to one watcher, in ms; with what it does for other callers meanwhile. */
  readonly cpuMs: number;
  /** Of a call of another caller while the changes went out, in ms. */
  readonly othersP99: number;
}

/** Callers of something else while the changes go out. */
const OTHER_CALLERS = 2;

/** Watches of one connection: as many clients would have several. */
const PER_CONNECTION = 250;

const CHANGES = 10;

/** Watches one object very often and says what that costs, and what it costs others. */
export async function watchers(options: WatchersOptions): Promise<Watched> {
  const { cluster, url, pid, namespace, name, count } = options;
  const path = `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`;
  // Unavailable for ever, so that no watch ends: one pod is wanted, and nobody makes it.
  await cluster.request("PATCH", path, {
    contentType: "application/merge-patch+json",
    body: { spec: { replicas: 1 } },
  });
  const before = { mb: residentMb(pid), watches: await upstreamWatches(cluster) };
  const stop = new AbortController();
  const sessions: Http2SessionManager[] = [];
  let arrived = 0;
  let wanted = Number.POSITIVE_INFINITY;
  let all = Promise.withResolvers<void>();
  const watching: Promise<void>[] = [];
  const watch = async (sessionManager: Http2SessionManager): Promise<void> => {
    const client = createClient(WorkloadService, createGrpcTransport({ baseUrl: url, sessionManager }));
    const target = { cluster: "admin", group: "apps", version: "v1", resource: "deployments", namespace, name };
    try {
      for await (const _ of client.watchRollout(target, { signal: stop.signal })) {
        if (++arrived >= wanted) all.resolve();
      }
    } catch (error) {
      if (!stop.signal.aborted) all.reject(error);
    }
  };
  // One connection after the other, as clients come: none waits for all the others to be let in.
  while (watching.length < count) {
    const session = new Http2SessionManager(url);
    sessions.push(session);
    wanted = Math.min(count, watching.length + PER_CONNECTION);
    while (watching.length < wanted) watching.push(watch(session));
    await all.promise;
    all = Promise.withResolvers();
  }
  await delay(500); // lets memory settle: there is no event for that
  const during = { mb: residentMb(pid), watches: await upstreamWatches(cluster) };
  const times: number[] = [];
  const workerData: Others = { url, shots: options.others, callers: OTHER_CALLERS };
  const others = new Worker(new URL("./others.ts", import.meta.url), { workerData });
  const measured = once(others, "message");
  const cpu = cpuSeconds(pid);
  for (let change = 0; change < CHANGES; change++) {
    all = Promise.withResolvers<void>();
    arrived = 0;
    const started = performance.now();
    await cluster.request("PATCH", path, {
      contentType: "application/merge-patch+json",
      body: { spec: { replicas: change + 2 } },
    });
    await all.promise;
    times.push(performance.now() - started);
  }
  const cpuMs = ((cpuSeconds(pid) - cpu) * 1000) / (CHANGES * count);
  others.postMessage("end");
  const [latencies] = (await measured) as [number[]];
  stop.abort();
  await Promise.allSettled(watching);
  for (const session of sessions) {
    session.abort();
  }
  for (const sorted of [times, latencies]) sorted.sort((left, right) => left - right);
  return {
    upstream: during.watches - before.watches,
    kbEach: ((during.mb - before.mb) * 1024) / count,
    median: median(times),
    longest: quantile(times, 1),
    cpuMs,
    othersP99: quantile(latencies, 0.99),
  };
}

/** Open watches of Deployments, as the API server counts them: controllers have theirs as well. */
async function upstreamWatches(cluster: ControlPlane): Promise<number> {
  const { body } = await cluster.request("GET", "/metrics");
  return [...body.matchAll(/^apiserver_longrunning_requests\{([^}]*)\} (\d+)$/gm)]
    .filter(([, labels]) => labels?.includes('resource="deployments"') && labels.includes('verb="WATCH"'))
    .reduce((sum, [, , value]) => sum + Number(value), 0);
}
