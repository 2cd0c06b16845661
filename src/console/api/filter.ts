import { quote } from "./operations.ts";

/** The controls of the list of operations, as its URL has them. */
export interface Filters {
  readonly state: string;
  readonly target: string;
  readonly principal: string;
  readonly since: string;
  readonly until: string;
}

/** The filter that the controls stand for. A target that ends with a slash stands for all below it. */
export function filterOf({ state, target, principal, since, until }: Filters): string {
  const below = target.endsWith("/");
  return [
    state && `state = ${state}`,
    target &&
      (below
        ? `target > ${quote(target)} AND target < ${quote(`${target.slice(0, -1)}0`)}`
        : `target = ${quote(target)}`),
    principal && `principal = ${quote(principal)}`,
    since && `create_time > ${quote(since)}`,
    until && `create_time < ${quote(until)}`,
  ]
    .filter((part) => part !== "")
    .join(" AND ");
}
