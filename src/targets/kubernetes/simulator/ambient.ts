import { randomUUID } from "node:crypto";

/** What the simulator takes from its surroundings: the time and fresh identifiers. */
export interface Ambient {
  /** The present time, in milliseconds since 1970. Timestamps of objects and progress deadlines are counted with it. */
  now(): number;
  /** A fresh UUID, for uids, audit ids and the names of pods. */
  id(): string;
}

/** The machine's clock and random UUIDs. */
export const systemAmbient: Ambient = { now: () => Date.now(), id: () => randomUUID() };

/** A time as Kubernetes writes it: UTC, whole seconds (rounded down), no fraction. */
export function timestamp(milliseconds: number): string {
  return `${new Date(milliseconds).toISOString().slice(0, 19)}Z`;
}
