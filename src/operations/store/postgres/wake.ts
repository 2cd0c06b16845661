import type pg from "pg";
import type { PgBoss } from "pg-boss";
import type { Db, Trx } from "../schema.ts";

/** Schema that pg-boss keeps its tables in. */
export const BOSS_SCHEMA = "restartd_boss";
const QUEUE = "operation";

/** How many wake-ups one worker takes at once, and how many workers a replica has: it handles so many at the same time. */
const BATCH = 10;
const WORKERS = 2;
/** How often (s) a worker looks for wake-ups that are due. */
const POLL_S = 0.5;
/** How long (s) a replica may be silent about a wake-up that it took before another one gets it; the least that pg-boss takes. */
const HEARTBEAT_S = 10;
/** How often (ms) operations whose time has come are looked for, whatever became of their wake-ups. */
const SWEEP_MS = 60_000;
const SWEEP_LIMIT = 1_000;

/** Spreads wake-ups over the replicas by pg-boss. It holds no truth: all that it says is that an operation is worth a look. */
export interface Waker {
  /** Has an operation looked at after a delay, if the transaction commits; replaces the wake-up that it had. */
  wakeAfter(trx: Trx, name: string, delayMs: number): Promise<void>;
  /** Takes part in handling wake-ups. */
  work(handler: (name: string) => Promise<void>): Promise<void>;
  /** Ends taking part, after the handlers that run. */
  stop(): Promise<void>;
}

/** What a {@link Waker} needs. */
export interface WakerOptions {
  readonly pool: pg.Pool;
  readonly db: Db;
  /** The wall clock. */
  readonly now: () => Date;
  readonly warn: (message: string) => void;
  /** Default: a minute. */
  readonly sweepMs?: number;
}

/** Makes pg-boss's tables if they are not there. Two replicas may do so at the same time. */
export async function openWaker(options: WakerOptions): Promise<Waker> {
  const { PgBoss, fromKysely } = await import("pg-boss");
  const boss = new PgBoss({
    // The result as it is: of several statements it is an array, which pg-boss expects.
    db: { executeSql: (text, values) => options.pool.query(text, values) },
    schema: BOSS_SCHEMA,
    schedule: false,
    reindex: false,
    monitorVacuum: false,
    superviseIntervalSeconds: HEARTBEAT_S,
    monitorIntervalSeconds: HEARTBEAT_S,
  });
  const complaints = once(options.warn);
  boss.on("error", (error) => complaints(`pg-boss: ${error.message}`));
  boss.on("warning", ({ message }) => complaints(`pg-boss: ${message}`));
  await boss.start();
  await boss.createQueue(QUEUE, {
    policy: "short",
    heartbeatSeconds: HEARTBEAT_S,
    expireInSeconds: 600,
    retryLimit: 1_000,
    retryDelay: 1,
    retentionSeconds: 86_400,
    deleteAfterSeconds: 60,
  });
  const stopping = new AbortController();
  return {
    wakeAfter: async (trx, name, delayMs) => {
      // One wake-up waits for each operation, with a delay by the server's clock: replicas' clocks may differ.
      const startAfter = Math.max(0, delayMs) / 1_000;
      await boss.upsert(QUEUE, { name }, { singletonKey: name, startAfter, db: fromKysely(trx) });
    },
    work: async (handler) => {
      await boss.work<{ name: string }>(
        QUEUE,
        { batchSize: BATCH, localConcurrency: WORKERS, pollingIntervalSeconds: POLL_S, burstWhenBatchFull: true },
        async (jobs) => {
          await Promise.all(jobs.map(({ data }) => handler(data.name)));
        },
      );
      sweepAlways(options, handler, stopping.signal);
    },
    stop: async () => {
      stopping.abort();
      await stopBoss(boss);
    },
  };
}

/** pg-boss asks for this to be called once; a database that does not answer must not hold up the end. */
async function stopBoss(boss: PgBoss): Promise<void> {
  await boss.stop({ graceful: true, close: false, timeout: 5_000 });
}

/** Looks for what is due now, and then every so often, until the signal. */
function sweepAlways(options: WakerOptions, handler: (name: string) => Promise<void>, signal: AbortSignal): void {
  let timer: NodeJS.Timeout | undefined;
  const again = async () => {
    try {
      for (const name of await dueNames(options)) {
        if (signal.aborted) return;
        await handler(name);
      }
    } catch (error) {
      options.warn(
        `operations whose time has come could not be read: ${error instanceof Error ? error.message : error}`,
      );
    }
    if (!signal.aborted) timer = setTimeout(again, options.sweepMs ?? SWEEP_MS).unref();
  };
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  void again();
}

async function dueNames({ db, now }: WakerOptions): Promise<string[]> {
  const rows = await db
    .selectFrom("operations")
    .select("name")
    .where("end_time", "is", null)
    .where("wake_time", "<=", now().getTime())
    .orderBy("wake_time")
    .limit(SWEEP_LIMIT)
    .execute();
  return rows.map(({ name }) => name);
}

/** The same complaint is passed on once until another one comes: while the database is away every poll complains. */
function once(warn: (message: string) => void): (message: string) => void {
  let last = "";
  return (message) => {
    if (message !== last) warn(message);
    last = message;
  };
}
