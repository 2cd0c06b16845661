import type { Kind, Mechanism } from "./kinds.ts";
import { RESTARTED_AT } from "./kinds.ts";
import type { WorkloadObject } from "./object.ts";

/** One operation of a JSON Patch (RFC 6902); those that {@link restartPatch} needs. */
export interface Operation {
  readonly op: "test" | "add";
  /** JSON Pointer (RFC 6901). */
  readonly path: string;
  readonly value: unknown;
}

/** What is remembered of an object, so that the next restart of it needs no read before its request. */
export interface Known {
  readonly uid: string;
  readonly generation: number;
  /** The restart in place, verbatim. */
  readonly value: string | undefined;
  /** Holds the object to what the guards saw. */
  readonly tests: readonly Operation[];
  /** How many leading segments of the value's path exist. */
  readonly depth: number;
}

const PATHS: Record<Mechanism, readonly string[]> = {
  "template annotation": ["spec", "template", "metadata", "annotations", RESTARTED_AT],
  "spec.restartAt": ["spec", "restartAt"],
};

/** The restart in place on an object, verbatim, or undefined when it was never restarted. */
export function restartedAt(kind: Kind, object: WorkloadObject): string | undefined {
  const value = lookUp(object, PATHS[kind.mechanism]).value;
  return typeof value === "string" ? value : undefined;
}

/** Learns from an object what {@link restartPatch} needs to know. */
export function learn(kind: Kind, object: WorkloadObject): Known {
  return {
    uid: object.metadata.uid,
    generation: object.metadata.generation ?? 0,
    value: restartedAt(kind, object),
    tests: kind.guards.flatMap(({ path, holds }) => (holds?.(object) ?? [path]).map((held) => hold(object, held))),
    depth: lookUp(object, PATHS[kind.mechanism]).depth,
  };
}

/** What an object is held to of which nothing is known. `depth` is the guess whether its annotations exist. */
export function unread(kind: Kind, annotationsExist: boolean): Omit<Known, "uid" | "generation"> {
  const tests = kind.guards.map(({ path, unread }) => test(path, unread));
  const parents = PATHS[kind.mechanism].length - 1;
  return { value: undefined, tests, depth: annotationsExist ? parents : parents - 1 };
}

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
  const path = PATHS[kind.mechanism];
  return [
    test(["metadata", "deletionTimestamp"], null),
    ...(uid === undefined ? [] : [test(["metadata", "uid"], uid)]),
    ...known.tests,
    // Whole seconds are unique only against the value that they were made from.
    ...(kind.mechanism === "spec.restartAt" ? [test(path, known.value ?? null)] : []),
    ...place(path, known.depth, value),
  ];
}

/** A value for a restart that no other restart of the object has had. */
export function restartValue(mechanism: Mechanism, now: Date, previous: string | undefined, digits: string): string {
  if (mechanism === "template annotation") {
    // Milliseconds of the clock, then digits that make it unique over processes: RFC 3339 with nanoseconds, as Go parses it.
    return now.toISOString().replace("Z", `${digits}Z`);
  }
  const last = previous === undefined ? Number.NaN : Date.parse(previous);
  const seconds = Math.trunc(now.getTime() / 1000) * 1000;
  const unique = Number.isNaN(last) ? seconds : Math.max(seconds, last + 1000);
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

/** Tests that a field is what it was; where a parent is missing, that it still is: a test below it would be an error. */
function hold(object: WorkloadObject, path: readonly string[]): Operation {
  const { value, depth } = lookUp(object, path);
  return depth === path.length ? test(path, value) : test(path.slice(0, depth + 1), null);
}

function lookUp(object: WorkloadObject, path: readonly string[]): { value: unknown; depth: number } {
  let value: unknown = object;
  for (const [depth, segment] of path.entries()) {
    const next = typeof value === "object" && value !== null ? Reflect.get(value, segment) : undefined;
    if (next === undefined || next === null) {
      return { value: undefined, depth };
    }
    value = next;
  }
  return { value, depth: path.length };
}

const test = (path: readonly string[], value: unknown): Operation => ({ op: "test", path: pointer(path), value });

const pointer = (path: readonly string[]): string =>
  path.map((segment) => `/${segment.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
