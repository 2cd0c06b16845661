import type { HandlerContext } from "@connectrpc/connect";
import { Health as HealthService, HealthCheckResponse_ServingStatus as Status } from "../../gen/health/v1/health_pb.ts";
import { FOR_ANYBODY, FOR_EVERY_CALLER } from "../core/access.ts";
import { excerpt, Failure, resourceInfo } from "../core/errors.ts";
import { publishedRoute, type Route } from "../core/route.ts";

/** What `grpc.health.v1.Health` tells: of each service by its full name, and of the server as a whole under the empty name. */
export interface Health {
  /** Says whether a service, or under the empty name the server as a whole, serves. Watchers are told at once. */
  set(service: string, serving: boolean): void;
  /** Says that nothing serves any longer, for good: what is set later does not count. */
  stop(): void;
  /** The service, answered while the server drains as well. */
  readonly route: Route;
}

/** The service, by which schemas and routes know it. */
export const HEALTH_SERVICE = HealthService;

/** At most so many characters of a name that nobody has here are said again. */
const MAX_NAME = 200;

/** Health of a server: whole and every service given serve, until somebody says otherwise. */
export function createHealth(services: readonly string[]): Health {
  const statuses = new Map<string, Status>(["", ...services].map((name) => [name, Status.SERVING]));
  const watchers = new Set<() => void>();
  let stopped = false;
  const put = (service: string, status: Status): void => {
    statuses.set(service, status);
    for (const wake of watchers) {
      wake();
    }
  };
  return {
    set(service, serving) {
      if (!stopped) {
        put(service, serving ? Status.SERVING : Status.NOT_SERVING);
      }
    },
    stop() {
      stopped = true;
      for (const service of statuses.keys()) {
        put(service, Status.NOT_SERVING);
      }
    },
    route: publishedRoute(
      HealthService,
      {
        check: ({ service }) => {
          const status = statuses.get(service);
          if (status === undefined) {
            const name = excerpt(service, MAX_NAME);
            throw new Failure("TARGET_NOT_FOUND", `no service ${JSON.stringify(name)} is served here`, {
              details: [resourceInfo("grpc.service", name)],
            });
          }
          return { status };
        },
        watch: ({ service }, context) =>
          watch(() => statuses.get(service) ?? Status.SERVICE_UNKNOWN, watchers, context.signal),
        list: () => ({ statuses: Object.fromEntries([...statuses].map(([name, status]) => [name, { status }])) }),
      },
      { check: FOR_ANYBODY, list: FOR_EVERY_CALLER, watch: FOR_EVERY_CALLER },
      { whileDraining: true, anyHost: true },
    ),
  };
}

/** The status now and after each change, until the signal fires. What changed before it fired is still told. */
async function* watch(
  read: () => Status,
  watchers: Set<() => void>,
  signal: HandlerContext["signal"],
): AsyncGenerator<{ status: Status }> {
  let wake: PromiseWithResolvers<void> = Promise.withResolvers();
  const onChange = (): void => wake.resolve();
  watchers.add(onChange);
  signal.addEventListener("abort", onChange);
  try {
    for (let sent: Status | undefined; ; ) {
      const status = read();
      if (status !== sent) {
        sent = status;
        yield { status };
      } else if (signal.aborted) {
        throw signal.reason;
      } else {
        await wake.promise;
        wake = Promise.withResolvers();
      }
    }
  } finally {
    watchers.delete(onChange);
    signal.removeEventListener("abort", onChange);
  }
}
