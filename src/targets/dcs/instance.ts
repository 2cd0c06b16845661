/** An instance, as far as this service looks at it. */
export interface DcsInstance {
  readonly instanceId: string;
  readonly name: string;
  /** Of a set that may grow. */
  readonly status: string;
  /** What it is busy with; empty when idle, and in lists. */
  readonly task: string;
  readonly engine: string;
  readonly engineVersion: string;
  /** Empty where it is not told: in lists. */
  readonly cacheMode: string;
  /** Undefined where it is not told: in lists. */
  readonly replicaCount: number | undefined;
  /** When it last changed, in the vendor's words. */
  readonly updateAt: string | undefined;
}

/** A page of a project's instances. */
export interface DcsPage {
  readonly instances: readonly DcsInstance[];
  /** How many the project has; undefined where that is not told. */
  readonly total: number | undefined;
}
