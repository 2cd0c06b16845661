import type { Kind, Mechanism } from "./kinds.ts";
import { RESTARTED_AT } from "./kinds.ts";
import type { WorkloadObject } from "./object.ts";

/** One operation of a JSON Patch (RFC 6902); those that a restart needs. */
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

/** Where a restart puts its value. */
export const VALUE_PATHS: Record<Mechanism, readonly string[]> = {
  "template annotation": ["spec", "template", "metadata", "annotations", RESTARTED_AT],
  "spec.restartAt": ["spec", "restartAt"],
};

/** The restart in place on an object, verbatim, or undefined when it was never restarted. */
export function restartedAt(kind: Kind, object: WorkloadObject): string | undefined {
  const value = lookUp(object, VALUE_PATHS[kind.mechanism]).value;
  return typeof value === "string" ? value : undefined;
}

/** Learns from an object what its next restart needs to know. */
export function learn(kind: Kind, object: WorkloadObject): Known {
  return {
    uid: object.metadata.uid,
    generation: object.metadata.generation ?? 0,
    value: restartedAt(kind, object),
    tests: kind.guards.flatMap(({ path, holds }) => (holds?.(object) ?? [path]).map((held) => hold(object, held))),
    depth: lookUp(object, VALUE_PATHS[kind.mechanism]).depth,
  };
}

/** What an object is held to of which nothing is known. `depth` is the guess whether its annotations exist. */
export function unread(kind: Kind, annotationsExist: boolean): Omit<Known, "uid" | "generation"> {
  const tests = kind.guards.map(({ path, unread }) => test(path, unread));
  const parents = VALUE_PATHS[kind.mechanism].length - 1;
  return { value: undefined, tests, depth: annotationsExist ? parents : parents - 1 };
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

/** Holds a field to a value; a `test` for null passes where the field is absent. */
export const test = (path: readonly string[], value: unknown): Operation => ({
  op: "test",
  path: pointer(path),
  value,
});

/** JSON Pointer (RFC 6901) of a path. */
export const pointer = (path: readonly string[]): string =>
  path.map((segment) => `/${segment.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
