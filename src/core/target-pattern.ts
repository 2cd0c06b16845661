import { lowerCaseTarget } from "./lower-case-id.ts";

/** Whether a text is what a pattern means. */
export type Matches = (text: string) => boolean;

/** A pattern that was understood, or what is wrong with it. */
export type Pattern = { readonly matches: Matches; readonly wrong?: undefined } | { readonly wrong: string };

/**
 * Reads a pattern of targets: segments with slashes between them, percent-encoded as names are. `*` is exactly one segment, and `**`
 * at the end one or more; of a pattern that is itself judged as a target, `**` is not one. Case counts,
 * but in ids of projects that have the form of a UUID, and there is no other wildcard: what begins alike is not the same thing.
 */
export function targetPattern(text: string): Pattern {
  const segments = lowerCaseTarget(text).split("/");
  const last = segments.length - 1;
  for (const [at, segment] of segments.entries()) {
    if (segment === "**" && at !== last) return { wrong: "must have ** only at its end" };
    if (segment === "*" || segment === "**") continue;
    if (segment.includes("*")) {
      return { wrong: `must have * as a whole segment, but has ${segment}: there is no other wildcard` };
    }
    const wrong = wrongSegment(segment);
    if (wrong !== undefined) return { wrong };
  }
  const parts = segments.map((segment) =>
    segment === "**"
      ? "[^/]+(?:/[^/]+)*"
      : segment === "*"
        ? "(?!\\*\\*(?:/|$))[^/]+"
        : segment.replace(/[.()]/g, "\\$&"),
  );
  const regex = new RegExp(`^${parts.join("/")}$`);
  return { matches: (target) => regex.test(lowerCaseTarget(target)) };
}

/** A segment that no name can have: names are encoded in one way only. */
function wrongSegment(segment: string): string | undefined {
  if (segment === "") return "must not have an empty segment";
  try {
    const encoded = encodeURIComponent(decodeURIComponent(segment));
    return encoded === segment ? undefined : `must be percent-encoded as names are: ${encoded} in place of ${segment}`;
  } catch {
    return `must be percent-encoded as names are, but has ${segment}`;
  }
}

/**
 * Whether some name of a shape can be what a pattern of targets means.
 *
 * @param template of targets, such as `sites/{site}/deployments/{deployment_id}`.
 */
export function canMatch(pattern: string, template: string): boolean {
  const wanted = pattern.split("/");
  const open = wanted.at(-1) === "**";
  const fixed = open ? wanted.slice(0, -1) : wanted;
  const shape = template.split("/");
  if (open ? shape.length <= fixed.length : shape.length !== fixed.length) return false;
  return fixed.every((segment, at) => segment === "*" || shape[at]?.startsWith("{") || segment === shape[at]);
}
