import { Gauge, type Registry } from "prom-client";
import { systemOf } from "../core/meter.ts";
import type { OperationState } from "../core/operation.ts";
import type { StoreSummary } from "../operations/store/store.ts";

/** The store is asked at most so often (ms), however often it is scraped. */
const CACHE_MS = 5000;

/** A scrape waits at most so long (ms) for the store; then the gauges keep what was last known. */
const PATIENCE_MS = 2000;

const OPEN_STATES: readonly OperationState[] = ["ACCEPTED", "SENDING", "SENT", "UNKNOWN", "UNRESOLVED"];

/** What is shown of a store that has not said anything yet. */
export const NOTHING_KNOWN: StoreSummary = {
  id: "",
  open: [],
  schemaVersion: 0,
  sizeBytes: undefined,
  lastBackup: undefined,
};

/** Whom the gauges ask. */
export interface StoreGaugeOptions {
  readonly summary: () => Promise<StoreSummary>;
  readonly now: () => Date;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
}

/** Gauges of the whole store, read when they are scraped: no count here can drift from what is stored. */
export function createStoreGauges(
  registers: Registry[],
  { summary, now, monotonic }: StoreGaugeOptions,
): { declare(labels: { readonly actions: readonly { readonly method: string }[] }): void } {
  const systems = new Set<string>();
  const whole = "Of the whole store: take max over replicas, not sum.";
  const labelNames = ["system", "state"] as const;
  const open = new Gauge({
    name: "restartd_operations_open",
    help: `Operations in each state that needs something still. ${whole}`,
    labelNames,
    registers,
    collect: () => refresh(),
  });
  const oldest = new Gauge({
    name: "restartd_operation_oldest_seconds",
    help: `Age of the oldest operation in each of these states; 0 when there is none. ${whole}`,
    labelNames,
    registers,
    collect: () => refresh(),
  });
  const size = gauge("restartd_store_size_bytes", "Bytes of the store's file; SQLite alone.");
  const schema = gauge("restartd_store_schema_version", "Version of the store's schema.");
  const backup = gauge("restartd_backup_last_success_timestamp_seconds", "When the store was last copied; 0: never.");
  function gauge(name: string, help: string): Gauge {
    return new Gauge({ name, help, registers, collect: () => refresh() });
  }

  const show = (known: StoreSummary): void => {
    for (const system of systems) {
      for (const state of OPEN_STATES) {
        const rows = known.open.filter((row) => systemOf(row.method) === system && row.state === state);
        const since = Math.min(...rows.map((row) => row.oldest));
        const age = rows.length === 0 ? 0 : Math.max(0, now().getTime() - since) / 1000;
        open.set(
          { system, state },
          rows.reduce((sum, { count }) => sum + count, 0),
        );
        oldest.set({ system, state }, age);
      }
    }
    if (known.sizeBytes !== undefined) size.set(known.sizeBytes);
    schema.set(known.schemaVersion);
    backup.set((known.lastBackup ?? 0) / 1000);
  };
  let known = NOTHING_KNOWN;
  let readAt = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;
  /** Shared by all gauges of a scrape. A store that fails is told by `restartd_store_up`. */
  const refresh = async (): Promise<void> => {
    if (monotonic() - readAt >= CACHE_MS && reading === undefined) {
      readAt = monotonic();
      reading = summary()
        .then(
          (answer) => {
            known = answer;
          },
          () => {},
        )
        .finally(() => {
          reading = undefined;
        });
    }
    if (reading !== undefined) await withinPatience(reading);
    show(known);
  };
  return {
    declare({ actions }) {
      for (const { method } of actions) systems.add(systemOf(method));
      show(known);
    },
  };
}

async function withinPatience(work: Promise<void>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, PATIENCE_MS);
  await Promise.race([work, promise]);
  clearTimeout(timer);
}
