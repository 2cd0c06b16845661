import type { DescService } from "@bufbuild/protobuf";
import type { Meter } from "../core/meter.ts";
import { COMMIT, VERSION } from "../core/version.ts";
import type { Store } from "../operations/store/store.ts";
import { startAdmin } from "./listener.ts";
import { createMetrics, type Labels } from "./metrics.ts";
import type { Check } from "./probes.ts";
import { NOTHING_KNOWN } from "./store-gauges.ts";

/** What the admin listener is told at the start. */
export interface WatchOptions {
  /** Where to listen. */
  readonly listen: { readonly host: string; readonly port: number; readonly allowedHosts: readonly string[] };
  /** SHA-256 of the configuration file, in hex; empty without one. */
  readonly configSha256: string;
  readonly now: () => Date;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
  /** Told why a request could not be answered: a defect. */
  readonly onError: (error: unknown) => void;
}

/** Probes and metrics, served from before anything else begins until after everything else has ended. */
export interface Watch extends AsyncDisposable {
  /** Where it listens. */
  readonly url: string;
  readonly meter: Meter;
  /** The store is open: its gauges can be read. */
  storeOpened(store: Pick<Store, "summary">): void;
  /** Whether the store can be used, when that changes. */
  storeUsable(usable: boolean): void;
  /** Calls are accepted from now on. */
  serving(services: readonly DescService[], labels: Pick<Labels, "actions" | "vendors">): void;
  /** No more calls should be sent here. */
  draining(): void;
}

/** Begins to serve probes and metrics. @throws Error when the address cannot be listened on. */
export async function startWatch({ listen, configSha256, now, monotonic, onError }: WatchOptions): Promise<Watch> {
  let store: Pick<Store, "summary"> | undefined;
  const metrics = createMetrics({
    build: { version: VERSION, node: process.versions.node, commit: COMMIT },
    configSha256,
    summary: async () => (await store?.summary()) ?? NOTHING_KNOWN,
    now,
    monotonic,
  });
  const why: Record<"store" | "operations" | "listener" | "drain", string | undefined> = {
    store: "not opened yet",
    operations: "not looked after yet",
    listener: "no calls are accepted yet",
    drain: undefined,
  };
  let unusable: string | undefined;
  const check = (name: keyof typeof why): Check => ({ name, failure: () => why[name] });
  const listener = await startAdmin({
    ...listen,
    metrics,
    onError,
    probes: {
      checks: [check("store"), check("operations"), check("listener"), check("drain")],
      strict: [{ name: "store", failure: () => why.store ?? unusable }],
    },
  });
  return {
    url: listener.url,
    meter: metrics.meter,
    storeOpened(opened) {
      store = opened;
      why.store = undefined;
    },
    storeUsable(usable) {
      unusable = usable ? undefined : "it cannot be used now";
      metrics.meter.storeUp(usable);
    },
    serving(services, labels) {
      why.operations = undefined;
      why.listener = undefined;
      const rpcs = services.flatMap((service) =>
        service.methods.map((method) => ({
          name: `${service.typeName}/${method.name}`,
          unary: method.methodKind === "unary",
          ours: service.typeName.startsWith("restart."),
        })),
      );
      metrics.declare({ rpcs, ...labels });
    },
    draining() {
      why.drain = "shutting down";
    },
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}
