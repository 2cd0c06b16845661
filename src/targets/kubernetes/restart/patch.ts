import type { Kind, Mechanism } from "../workload/kinds.ts";
import { type Known, type Operation, pointer, test, VALUE_PATHS } from "../workload/known.ts";

/**
 * The one request that restarts: it puts the value in place and carries its own preconditions, so that an object which is being
 * deleted, or whose guarded fields are not what was read, is refused by the API server atomically. A `test` for null passes where
 * the field is absent (contracts: kubernetes §6.4).
 *
 * @param uid holds the request to this very object; leave it out where another of the same name is as good.
 */
export function restartPatch(
  kind: Kind,
  known: Omit<Known, "uid" | "generation">,
  value: string,
  uid?: string,
): Operation[] {
  const path = VALUE_PATHS[kind.mechanism];
  return [
    test(["metadata", "deletionTimestamp"], null),
    ...(uid === undefined ? [] : [test(["metadata", "uid"], uid)]),
    ...known.tests,
    // Whole seconds are unique only against the value that they were made from.
    ...(kind.mechanism === "spec.restartAt" ? [test(path, known.value ?? null)] : []),
    ...place(path, known.depth, value),
  ];
}

/**
 * A value for a restart that no other restart of the object has had. An Argo Rollout's is a time at which pods that are older restart:
 * the first whole second after now, because pods' own times are cut to seconds, and after the value in place.
 *
 * @param now for an Argo Rollout, the latest that the API server's clock can show: it stamps the pods.
 */
export function restartValue(mechanism: Mechanism, now: Date, previous: string | undefined, digits: string): string {
  if (mechanism === "template annotation") {
    // Milliseconds of the clock, then digits that make it unique over processes: RFC 3339 with nanoseconds, as Go parses it.
    return now.toISOString().replace("Z", `${digits}Z`);
  }
  const last = previous === undefined ? Number.NaN : Date.parse(previous);
  const next = (Math.trunc(now.getTime() / 1000) + 1) * 1000;
  const unique = Number.isNaN(last) ? next : Math.max(next, last + 1000);
  return `${new Date(unique).toISOString().slice(0, 19)}Z`;
}

/** Creates the first missing parent, guarded, where one is missing: adding a map that exists would wipe it. */
function place(path: readonly string[], depth: number, value: string): Operation[] {
  if (depth >= path.length - 1) {
    return [{ op: "add", path: pointer(path), value }];
  }
  const missing = path.slice(0, depth + 1);
  const nested = path.slice(depth + 1).reduceRight<unknown>((inner, segment) => ({ [segment]: inner }), value);
  return [test(missing, null), { op: "add", path: pointer(missing), value: nested }];
}
