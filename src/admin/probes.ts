/** One thing that has to hold for the process to be ready. */
export interface Check {
  readonly name: string;
  /** Why it does not hold now; undefined when it does. */
  readonly failure: () => string | undefined;
}

/** What readiness is made of. */
export interface Probes {
  /** Store opened, operations looked after, port accepting, not draining: without one of these nobody should be sent here. */
  readonly checks: readonly Check[];
  /** Stricter ones, for those who name them by `require`: each stands in for the check of its name. */
  readonly strict: readonly Check[];
}

/** Answer of `/readyz`: `require` makes a check strict, `verbose` lists them all. */
export function readiness({ checks, strict }: Probes, query: URLSearchParams): { ready: boolean; body: string } {
  const required = new Set(query.getAll("require"));
  const byName = new Map(checks.map((check) => [check.name, check]));
  for (const name of required) {
    const check = strict.find((one) => one.name === name);
    byName.set(name, check ?? { name, failure: () => "there is no such check" });
  }
  const results = [...byName.values()].map(({ name, failure }) => ({ name, failure: failure() }));
  const failed = results.filter(({ failure }) => failure !== undefined);
  const line = ({ name, failure }: (typeof results)[number]): string =>
    failure === undefined ? `[+]${name} ok` : `[-]${name} failed: ${failure}`;
  const ready = failed.length === 0;
  if (query.has("verbose")) {
    const end = `readyz check ${ready ? "passed" : "failed"}`;
    return { ready, body: `${[...results.map(line), end].join("\n")}\n` };
  }
  return { ready, body: ready ? "ok\n" : `${failed.map(line).join("\n")}\n` };
}
