import type { Truth } from "./system.ts";

/** An operation as ListOperations shows it. */
export interface Listed {
  readonly name: string;
  readonly done: boolean;
  readonly state: string;
  readonly outcome: string;
  /** Resource name. */
  readonly target: string;
  readonly requestId: string;
  readonly vendorJob: string;
  /** Empty without one. */
  readonly parent: string;
}

/** What one call was told. */
export interface Told {
  readonly requestId: string;
  /** The header `operation-name`; undefined without one. */
  readonly operation: string | undefined;
  /** `applied` for an answer; undefined where nothing was said. */
  readonly outcome: "applied" | "not_applied" | "unknown" | undefined;
  /** Of an error; undefined where nothing was said. */
  readonly reason: string | undefined;
  /** The error's sentence. */
  readonly why: string | undefined;
}

/** What a run showed of one system. */
export interface Figures {
  /** Operations, without those that only hold others together. */
  readonly operations: number;
  readonly byState: Readonly<Record<string, number>>;
  /** Restarts that the vendor really made. */
  readonly applied: number;
  /** Restarts too many. */
  readonly doubles: number;
  /** Operations that ended UNRESOLVED, where nothing could show more. */
  readonly unresolved: number;
}

/** What a run showed. Everything but `systems` must be empty. */
export interface Verdicts {
  readonly systems: Readonly<Record<string, Figures>>;
  /** Targets that were restarted more often than asked, in words. */
  readonly doubled: readonly string[];
  /** Verdicts that are not true, in words. */
  readonly wrong: readonly string[];
  /** Answers that are not true, in words. */
  readonly lies: readonly string[];
  /** Operations that have not ended. */
  readonly open: readonly string[];
  /** Operations that ended without a verdict though there was something to read it from. */
  readonly undecided: readonly string[];
  /** request_ids that got two names. */
  readonly renamed: readonly string[];
}

/** Compares what operations and answers say with what happened. */
export function judge(operations: readonly Listed[], told: readonly Told[], systems: readonly Truth[]): Verdicts {
  const children = Map.groupBy(operations, ({ parent }) => parent);
  const single = Map.groupBy(
    operations.filter(({ name }) => !children.has(name)),
    ({ target }) => target,
  );
  const judged = systems.map((system) => judgeSystem(system, single));
  const known = new Set(systems.flatMap(({ targets }) => targets));
  return {
    systems: Object.fromEntries(judged.map(({ name, figures }) => [name, figures])),
    doubled: judged.flatMap(({ doubled }) => doubled),
    wrong: [
      ...judged.flatMap(({ wrong }) => wrong),
      ...[...single].filter(([target]) => !known.has(target)).map(([target]) => `nobody asked for ${target}`),
      ...operations.flatMap((operation) => disagreement(operation, children.get(operation.name))),
    ],
    lies: liesOf(operations, told, children, (one) => restartedBy(one, single.get(one.target) ?? [], systems)),
    open: operations.filter(({ done }) => !done).map(({ name, state, target }) => `${name} ${state} ${target}`),
    undecided: judged.flatMap(({ undecided }) => undecided),
    renamed: renamedIn(operations, told),
  };
}

function judgeSystem(system: Truth, byTarget: ReadonlyMap<string, readonly Listed[]>) {
  const wrong: string[] = [];
  const doubled: string[] = [];
  let doubles = 0;
  for (const target of system.targets) {
    const on = byTarget.get(target) ?? [];
    const applied = system.applied(target);
    // However it ended, an operation restarts once at most.
    if (applied > on.length) {
      doubles += applied - on.length;
      doubled.push(`${target} was restarted ${applied} times by ${on.length} operations`);
    }
    wrong.push(...wrongOn(system, target, on));
  }
  const on = system.targets.flatMap((target) => byTarget.get(target) ?? []);
  const unresolved = on.filter(({ state }) => state === "STATE_UNRESOLVED");
  const undecided = on.filter(
    ({ done, outcome }) => done && !["OUTCOME_APPLIED", "OUTCOME_NOT_APPLIED"].includes(outcome),
  );
  const byState = Map.groupBy(on, ({ state }) => state.replace("STATE_", ""));
  return {
    name: system.name,
    wrong,
    doubled,
    undecided: undecided
      .filter((operation) => system.canTell(operation.target) || !unresolved.includes(operation))
      .map(({ name, state, target }) => `${name} ${state} ${target}`),
    figures: {
      operations: on.length,
      byState: Object.fromEntries([...byState].map(([state, of]) => [state, of.length])),
      applied: system.targets.reduce((sum, target) => sum + system.applied(target), 0),
      doubles,
      unresolved: unresolved.length,
    },
  };
}

/** What operations on a target say that did not happen. */
function wrongOn(system: Truth, target: string, on: readonly Listed[]): string[] {
  const applied = system.applied(target);
  const known = on.filter(({ outcome }) => outcome === "OUTCOME_APPLIED");
  const unknown = on.filter(({ outcome }) => outcome === "OUTCOME_UNKNOWN");
  const wrong: string[] = [];
  if (applied < known.length || applied > known.length + unknown.length) {
    const claims = on.map(({ name, state, outcome }) => `${name} ${state} ${outcome}`).join(", ");
    wrong.push(`${target} was restarted ${applied} times, but: ${claims}`);
  }
  const handles = system.handles(target);
  const jobs = known.map(({ vendorJob }) => vendorJob).filter((job) => system.namesAll || job !== "");
  if (handles !== undefined && (new Set(jobs).size !== jobs.length || jobs.some((job) => !handles.includes(job)))) {
    wrong.push(`${target} was restarted by ${handles.join(", ")}, but its operations say ${jobs.join(", ")}`);
  }
  return wrong;
}

/** Whether an operation with parts ended as they did. */
function disagreement({ name, state, outcome, done }: Listed, parts: readonly Listed[] | undefined): string[] {
  if (parts === undefined || !done) return [];
  const states = new Set(parts.map((part) => part.state));
  const outcomes = new Set(parts.map((part) => part.outcome));
  const alone = states.size === 1 ? parts[0]?.state : "STATE_FAILED";
  const expected = ["STATE_UNRESOLVED", "STATE_SUCCEEDED"].find((one) => states.has(one)) ?? alone;
  const known = outcomes.has("OUTCOME_APPLIED") ? "OUTCOME_APPLIED" : "OUTCOME_NOT_APPLIED";
  const expectedOutcome = outcomes.has("OUTCOME_UNKNOWN") ? "OUTCOME_UNKNOWN" : known;
  return state === expected && outcome === expectedOutcome
    ? []
    : [`${name} ended ${state} ${outcome}, but its parts: ${parts.map((part) => `${part.state} ${part.outcome}`)}`];
}

function renamedIn(operations: readonly Listed[], told: readonly Told[]): string[] {
  const all = [...told, ...operations.map(({ requestId, name }) => ({ requestId, operation: name }))];
  const named = Map.groupBy(
    all.filter(({ requestId, operation }) => requestId !== "" && operation !== undefined),
    ({ requestId }) => requestId,
  );
  return [...named].filter(([, of]) => new Set(of.map(({ operation }) => operation)).size > 1).map(([id]) => id);
}

/** Answers about an operation that say the contrary of how it ended, or, where nobody can know that any more, of what happened. */
function liesOf(
  operations: readonly Listed[],
  told: readonly Told[],
  children: ReadonlyMap<string, readonly Listed[]>,
  restarted: (operation: Listed) => boolean | undefined,
): string[] {
  const ends = new Map(operations.map((operation) => [operation.name, operation]));
  return told.flatMap(({ operation, outcome, why }) => {
    const end = ends.get(operation ?? "");
    if (operation === undefined || outcome === undefined || outcome === "unknown") return [];
    if (end === undefined) return [`${operation} was named in an answer, and is not there`];
    if (!end.done) return [];
    const happened = (children.get(operation) ?? [end]).map(restarted);
    // An answer about several says of each what is known.
    const isTrue = outcome === "applied" ? happened.some((one) => one !== false) : !happened.includes(true);
    return isTrue
      ? []
      : [`${operation}: a caller was told ${outcome} (${why}), and it ended ${end.state} ${end.outcome}`];
  });
}

/** What became of an operation by what happened at its target, where its end does not tell; undefined when that does not tell either. */
function restartedBy(
  { target, outcome }: Listed,
  on: readonly Listed[],
  systems: readonly Truth[],
): boolean | undefined {
  if (outcome !== "OUTCOME_UNKNOWN") return outcome === "OUTCOME_APPLIED";
  const applied = systems.find(({ targets }) => targets.includes(target))?.applied(target) ?? 0;
  const others = applied - on.filter((one) => one.outcome === "OUTCOME_APPLIED").length;
  if (others <= 0) return false;
  return others >= on.filter((one) => one.outcome === "OUTCOME_UNKNOWN").length ? true : undefined;
}
