import type { Pattern } from "./target-pattern.ts";

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
