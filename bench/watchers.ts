import { setTimeout as delay } from "node:timers/promises";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { WorkloadService } from "../gen/restart/kubernetes/v1/workload_service_pb.ts";
import type { ControlPlane } from "../test/cluster/attach.ts";
import { median, quantile } from "./load.ts";
import { residentMb } from "./process.ts";

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
}

/** Watches of one connection: as many clients would have several. */
const PER_CONNECTION = 250;

const CHANGES = 10;

/** Watches one object very often and says what that costs: upstream watches, memory, time from a change to the last watcher. */
export async function watchers({ cluster, url, pid, namespace, name, count }: WatchersOptions): Promise<string> {
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
  let all = Promise.withResolvers<void>();
  const watching: Promise<void>[] = [];
  for (let index = 0; index < count; index++) {
    if (index % PER_CONNECTION === 0) {
      sessions.push(new Http2SessionManager(url));
    }
    const sessionManager = sessions.at(-1) ?? new Http2SessionManager(url);
    const client = createClient(WorkloadService, createGrpcTransport({ baseUrl: url, sessionManager }));
    const target = { cluster: "admin", group: "apps", version: "v1", resource: "deployments", namespace, name };
    watching.push(
      (async () => {
        for await (const _ of client.watchRollout(target, { signal: stop.signal })) {
          if (++arrived === count) {
            all.resolve();
          }
        }
      })().catch((error: unknown) => {
        if (!stop.signal.aborted) {
          all.reject(error);
        }
      }),
    );
  }
  await all.promise;
  await delay(500); // lets memory settle: there is no event for that
  const during = { mb: residentMb(pid), watches: await upstreamWatches(cluster) };
  const times: number[] = [];
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
  stop.abort();
  await Promise.allSettled(watching);
  for (const session of sessions) {
    session.abort();
  }
  times.sort((left, right) => left - right);
  return [
    `${count} watchers of one workload: ${during.watches - before.watches} upstream watch(es)`,
    `  memory ${before.mb.toFixed(0)} -> ${during.mb.toFixed(0)} MB (${(((during.mb - before.mb) * 1024) / count).toFixed(0)} kB each)`,
    `  from sending a change to the last watcher: median ${median(times).toFixed(0)} ms, longest ${quantile(times, 1).toFixed(0)} ms`,
  ].join("\n");
}

/** Open watches of Deployments, as the API server counts them: controllers have theirs as well. */
async function upstreamWatches(cluster: ControlPlane): Promise<number> {
  const { body } = await cluster.request("GET", "/metrics");
  return [...body.matchAll(/^apiserver_longrunning_requests\{([^}]*)\} (\d+)$/gm)]
    .filter(([, labels]) => labels?.includes('resource="deployments"') && labels.includes('verb="WATCH"'))
    .reduce((sum, [, , value]) => sum + Number(value), 0);
}
