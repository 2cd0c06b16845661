/** What names an engine within a project. */
export interface EngineRef {
  readonly projectId: string;
  readonly engineId: string;
  /** Empty stands for the default one. */
  readonly enterpriseProjectId: string;
}

/** An engine, in the vendor's words. What it does not say is empty. */
export interface Engine {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly type: string;
  readonly version: string;
  /** Undefined when it has had no job, or does not say. */
  readonly latestJobId: number | undefined;
  readonly enterpriseProjectId: string;
}

/** A job of an engine, in the vendor's words. */
export interface EngineJob {
  readonly id: number;
  readonly engineId: string;
  /** Create, Delete, Upgrade, Modify, Configure. */
  readonly type: string;
  /** Init, Executing, Error, Timeout, Finished. */
  readonly status: string;
  /** Epoch ms. */
  readonly startTime: number | undefined;
  /** Epoch ms; undefined while it runs. */
  readonly endTime: number | undefined;
}
