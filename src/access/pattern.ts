import type { Pattern } from "../core/target-pattern.ts";

const WORDS = "[a-z]+(?:\\.[a-z]+)*";

/**
 * Reads a pattern of permissions: segments with dots between them. `*` is one or more whole segments at either end, and one in the
 * middle; alone it is all.
 */
export function permissionPattern(text: string): Pattern {
  const segments = text.split(".");
  if (!segments.every((segment) => /^([a-z]+|\*)$/.test(segment))) {
    return {
      wrong:
        "must be words in lower case with dots between them, such as kubernetes.workloads.restart, or * for whole ones",
    };
  }
  const last = segments.length - 1;
  const parts = segments.map((segment, at) => (segment !== "*" ? segment : at === 0 || at === last ? WORDS : "[a-z]+"));
  const regex = new RegExp(`^${parts.join("\\.")}$`);
  return { matches: (permission) => regex.test(permission) };
}

/** Reads a pattern of principals or groups: one of them, `AUTHENTICATOR:*`, or the beginning of some and `*`. */
export function callerPattern(text: string): Pattern {
  const colon = text.indexOf(":");
  if (colon < 1 || colon === text.length - 1) {
    return { wrong: "must be AUTHENTICATOR:NAME, AUTHENTICATOR:* or AUTHENTICATOR:BEGINNING*" };
  }
  if (!text.endsWith("*")) return { matches: (name) => name === text };
  const beginning = text.slice(0, -1);
  return { matches: (name) => name.startsWith(beginning) };
}
