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
