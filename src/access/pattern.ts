/** Whether a text is what a pattern means. */
export type Matches = (text: string) => boolean;

/** A pattern that was understood, or what is wrong with it. */
export type Pattern = { readonly matches: Matches; readonly wrong?: undefined } | { readonly wrong: string };

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

/**
 * Reads a pattern of targets: segments with slashes between them, percent-encoded as names are. `*` is exactly one segment, and `**`
 * at the end one or more. Case counts, and there is no other wildcard: what begins alike is not the same thing.
 */
export function targetPattern(text: string): Pattern {
  const segments = text.split("/");
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
    segment === "**" ? "[^/]+(?:/[^/]+)*" : segment === "*" ? "[^/]+" : segment.replace(/[.()]/g, "\\$&"),
  );
  const regex = new RegExp(`^${parts.join("/")}$`);
  return { matches: (target) => regex.test(target) };
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
