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
  return { matches: anyTargetOf([text]) };
}

/** Some beginnings of patterns that have all segments so far in common. */
interface Node {
  /** What goes on with a segment that is written out. */
  readonly named: Map<string, Node>;
  /** What goes on with `*`. */
  any?: Node;
  /** Who has a pattern that ends here. */
  readonly here: number[];
  /** Who has a pattern that ends here with `**`. */
  readonly below: number[];
}

const newNode = (): Node => ({ named: new Map(), here: [], below: [] });

/**
 * Which of some lists have a pattern that means a target. It takes as long as there are segments, however many lists there are.
 *
 * @param lists of patterns as {@link targetPattern} takes them.
 * @returns their places, in ascending order.
 */
export function targetIndex(lists: readonly (readonly string[])[]): (target: string) => readonly number[] {
  const root = newNode();
  for (const [place, patterns] of lists.entries()) for (const pattern of patterns) add(root, pattern, place);
  return (target) => {
    const segments = lowerCaseTarget(target).split("/");
    const found = new Set<number>();
    if (!segments.includes("")) gather(root, segments, 0, found);
    return [...found].sort((left, right) => left - right);
  };
}

/** Whether any of some patterns means a target. */
export function anyTargetOf(patterns: readonly string[]): Matches {
  const find = targetIndex([patterns]);
  return (target) => find(target).length > 0;
}

function add(root: Node, pattern: string, place: number): void {
  let node = root;
  for (const segment of lowerCaseTarget(pattern).split("/")) {
    if (segment === "**") {
      node.below.push(place);
      return;
    }
    if (segment === "*") {
      node.any ??= newNode();
      node = node.any;
      continue;
    }
    const next = node.named.get(segment) ?? newNode();
    node.named.set(segment, next);
    node = next;
  }
  node.here.push(place);
}

function gather({ named, any, here, below }: Node, segments: readonly string[], at: number, found: Set<number>): void {
  const segment = segments[at];
  for (const place of segment === undefined ? here : below) found.add(place);
  if (segment === undefined) return;
  const next = named.get(segment);
  if (next !== undefined) gather(next, segments, at + 1, found);
  if (any !== undefined && segment !== "**") gather(any, segments, at + 1, found);
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
