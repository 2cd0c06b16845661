/** An operation as ListOperations shows it. */
export interface Listed {
  readonly name: string;
  readonly done: boolean;
  readonly state: string;
  readonly outcome: string;
  /** Name of the deployment. */
  readonly deployment: string;
  readonly requestId: string;
  readonly vendorJob: string;
}

/** What one call was told. */
export interface Told {
  readonly deployment: string;
  readonly requestId: string;
  /** The header `operation-name`; undefined without one. */
  readonly operation: string | undefined;
  /** `applied` for an answer; undefined where nothing was said. */
  readonly outcome: "applied" | "not_applied" | "unknown" | undefined;
}

/** What really happened. */
export interface Truth {
  /** Everything that could be restarted. */
  readonly deployments: readonly string[];
  /** Values of the restarts that were applied to a deployment. */
  applied(deployment: string): readonly string[];
}

/** What a run showed. Everything but the first two must be empty or 0. */
export interface Verdicts {
  readonly operations: number;
  readonly byState: Readonly<Record<string, number>>;
  /** Restarts too many. */
  readonly doubles: number;
  /** Verdicts that are not true, in words. */
  readonly wrong: readonly string[];
  /** Answers that are not true, in words. */
  readonly lies: readonly string[];
  /** Operations that have not ended. */
  readonly open: readonly string[];
  /** Operations that ended without a verdict. */
  readonly undecided: readonly string[];
  /** request_ids that got two names. */
  readonly renamed: readonly string[];
}

/** Compares what operations and answers say with what happened. */
export function judge(operations: readonly Listed[], told: readonly Told[], truth: Truth): Verdicts {
  const wrong: string[] = [];
  let doubles = 0;
  const byDeployment = Map.groupBy(operations, (operation) => operation.deployment);
  for (const deployment of truth.deployments) {
    const on = byDeployment.get(deployment) ?? [];
    const values = truth.applied(deployment);
    const known = on.filter(({ outcome }) => outcome === "OUTCOME_APPLIED");
    const unknown = on.filter(({ outcome }) => outcome === "OUTCOME_UNKNOWN");
    // However it ended, an operation restarts once at most.
    doubles += Math.max(0, values.length - on.length);
    const claims = on.map(({ name, state, outcome }) => `${name} ${state} ${outcome}`).join(", ");
    if (values.length < known.length || values.length > known.length + unknown.length) {
      wrong.push(`${deployment} was restarted ${values.length} times, but: ${claims}`);
    }
    const jobs = known.map(({ vendorJob }) => vendorJob);
    if (new Set(jobs).size !== jobs.length || jobs.some((job) => !values.includes(job))) {
      wrong.push(`${deployment} was restarted by ${values.join(", ")}, but its operations say ${jobs.join(", ")}`);
    }
  }
  const named = Map.groupBy(
    [...told, ...operations.map((operation) => ({ ...operation, operation: operation.name }))].filter(
      ({ requestId, operation }) => requestId !== "" && operation !== undefined,
    ),
    ({ requestId }) => requestId,
  );
  return {
    operations: operations.length,
    byState: Object.fromEntries(
      [...Map.groupBy(operations, ({ state }) => state.replace("STATE_", ""))].map(([state, of]) => [state, of.length]),
    ),
    doubles,
    wrong,
    lies: liesOf(operations, told),
    open: operations.filter(({ done }) => !done).map(({ name, state }) => `${name} ${state}`),
    undecided: operations
      .filter(({ done, outcome }) => done && outcome !== "OUTCOME_APPLIED" && outcome !== "OUTCOME_NOT_APPLIED")
      .map(({ name, state }) => `${name} ${state}`),
    renamed: [...named].filter(([, of]) => new Set(of.map(({ operation }) => operation)).size > 1).map(([id]) => id),
  };
}

/** Answers about an operation that say the contrary of how it ended; what it ended as is judged by what happened. */
function liesOf(operations: readonly Listed[], told: readonly Told[]): string[] {
  const ends = new Map(operations.map((operation) => [operation.name, operation]));
  return told.flatMap(({ operation, outcome }) => {
    const end = ends.get(operation ?? "");
    if (operation === undefined || outcome === undefined || outcome === "unknown") return [];
    if (end === undefined) return [`${operation} was named in an answer, and is not there`];
    const said = outcome === "applied" ? "OUTCOME_APPLIED" : "OUTCOME_NOT_APPLIED";
    return end.done && said !== end.outcome
      ? [`${operation}: a caller was told ${said}, and it ended ${end.state} ${end.outcome}`]
      : [];
  });
}
