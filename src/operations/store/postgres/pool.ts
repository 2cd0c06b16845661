import type { PostgresCursor, PostgresPool, PostgresPoolClient, PostgresQueryResult } from "kysely";
import pg from "pg";
import type { Statement } from "../statements.ts";
import { StoreRefused } from "../store.ts";
import { type GiveAddress, wrongAddress } from "./address.ts";
import { checkServer } from "./checks.ts";
import { explain } from "./failure.ts";
import { guardedQuery, guardedStatement } from "./guard.ts";

/** Until a connection must be there, also one from the pool. */
const CONNECT_MS = 3_000;
/** Until the server gives up a statement, and whatever it waits for. */
const STATEMENT_MS = 4_000;
/** Until we give up a statement whose end the server does not tell. */
const ANSWER_MS = 5_000;
/** Until the server rolls back a transaction whose replica stands still, and lets go of what it holds. */
const IDLE_IN_TRANSACTION_MS = 2_000;
/** Until closing goes on without the server. */
const CLOSE_MS = 1_000;
/** Until a step of a migration must be done. */
const MIGRATION_MS = 3_600_000;
const MAX_CONNECTIONS = 16;

/** How every connection is made: whatever the server does, a call ends within a few seconds. */
const CONNECTION: pg.ClientConfig = {
  application_name: "restartd",
  connectionTimeoutMillis: CONNECT_MS,
  query_timeout: ANSWER_MS,
  keepAlive: true,
  keepAliveInitialDelayMillis: 10_000,
};

/**
 * What makes connections to where the address says then. That one cannot be made is StoreRefused where something can be done about it, also
 * while a file that the address names is away: whoever makes one is told when it connects, and not before.
 */
export const clientOf = (url: GiveAddress) =>
  class extends pg.Client {
    readonly #wrong: string | undefined;

    constructor(config: pg.ClientConfig = {}) {
      const connectionString = url();
      const wrong = wrongAddress(connectionString);
      super({ ...CONNECTION, ...config, ...(wrong === undefined && { connectionString }) });
      this.#wrong = wrong;
    }

    override connect(): Promise<pg.Client>;
    override connect(callback: (error: Error) => void): void;
    override connect(callback?: (error: Error) => void): Promise<pg.Client> | undefined {
      const connecting = this.#connect();
      if (callback === undefined) return connecting;
      // As a pool calls it: with nothing where it went well.
      connecting.then(() => callback(undefined as unknown as Error), callback);
      return undefined;
    }

    async #connect(): Promise<pg.Client> {
      if (this.#wrong !== undefined) throw new StoreRefused(this.#wrong);
      try {
        return await super.connect();
      } catch (error) {
        throw explain(error);
      }
    }
  };

/** What every session of the pool is told first: a role's own settings must not weaken what we rely on. */
const SESSION = [
  // Of a commit that no standby has confirmed a warning is all that we are told.
  "set client_min_messages = warning",
  "set default_transaction_isolation = 'read committed'",
];

const BOUNDS = [
  `set statement_timeout = ${STATEMENT_MS}`,
  `set idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS}`,
];

/** Connections to a PostgreSQL database. */
export interface Pool {
  /** For statements outside of Kysely. */
  readonly pg: pg.Pool;
  /** For Kysely: doubt about a commit is UncertainCommit. Ending it does nothing. */
  readonly kysely: PostgresPool;
  /** Runs one statement as a transaction of its own: doubt about its commit is UncertainCommit. */
  single(statement: Statement): Promise<readonly unknown[]>;
  /** Has every connection from now on commit so, whatever is set for the role or the database later. */
  pin(synchronousCommit: string): void;
  /** Ends every connection, also when the server does not answer. */
  close(): Promise<void>;
}

/** What a {@link Pool} is for: `work`, or `migration`, which may take as long as it takes. */
export type Purpose = "work" | "migration";

/** @param warn is told of idle connections that break; they are replaced. */
export function openPool(url: GiveAddress, warn: (message: string) => void, purpose: Purpose = "work"): Pool {
  const session = purpose === "work" ? [...SESSION, ...BOUNDS] : [...SESSION];
  const pool = new pg.Pool({
    Client: clientOf(url),
    ...CONNECTION,
    ...(purpose === "migration" && { query_timeout: MIGRATION_MS }),
    max: purpose === "work" ? MAX_CONNECTIONS : 1,
    idleTimeoutMillis: 60_000,
    allowExitOnIdle: true,
    onConnect: async (client) => {
      await client.query(session.join("; "));
      await checkServer(client);
    },
  });
  const clients = new Set<pg.PoolClient>();
  const nameOf = createNames();
  pool.on("connect", (client) => clients.add(client));
  pool.on("remove", (client) => clients.delete(client));
  pool.on("error", (error) => warn(`a connection to PostgreSQL broke: ${error.message}`));
  return {
    pg: pool,
    kysely: {
      options: pool.options,
      connect: async () => guardedClient(await pool.connect()),
      end: () => Promise.resolve(),
    },
    async single({ text, values }) {
      const client = await pool.connect();
      const statement = { name: nameOf(text), text, values: [...values] };
      return withGuard(client, async (broken) => (await guardedStatement(client, broken, statement)).rows);
    },
    pin: (synchronousCommit) => {
      session.push(`set synchronous_commit = ${pg.escapeLiteral(synchronousCommit)}`);
    },
    close: async () => {
      const timer = setTimeout(() => {
        for (const client of clients) client.connection.stream.destroy();
      }, CLOSE_MS);
      await pool.end();
      clearTimeout(timer);
    },
  };
}

/** Names statements: a session parses and plans one that has a name once, which takes PostgreSQL about as long as to run it. */
function createNames(): (text: string) => string {
  const names = new Map<string, string>();
  return (text) => {
    const name = names.get(text) ?? `restartd_${names.size + 1}`;
    names.set(text, name);
    return name;
  };
}

/** Does something with a connection, and gives it back: to the pool, or to nobody once it is broken. */
async function withGuard<Result>(
  client: pg.PoolClient,
  work: (broken: { now: boolean }) => Promise<Result>,
): Promise<Result> {
  const broken = { now: false };
  const onError = () => {
    broken.now = true;
  };
  client.on("error", onError);
  try {
    return await work(broken);
  } finally {
    client.off("error", onError);
    client.release(broken.now);
  }
}

function guardedClient(client: pg.PoolClient): PostgresPoolClient {
  const broken = { now: false };
  // A connection that breaks while it is ours tells whoever waits for it; without a listener it would end the process.
  const onError = () => {
    broken.now = true;
  };
  client.on("error", onError);
  return {
    query: guardedQueries(client, broken),
    release: (destroy = false) => {
      client.off("error", onError);
      client.release(destroy || broken.now);
    },
  };
}

function guardedQueries(client: pg.PoolClient, broken: { now: boolean }): PostgresPoolClient["query"] {
  function query<R>(text: string, values: readonly unknown[]): Promise<PostgresQueryResult<R>>;
  function query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>;
  function query(text: unknown, values: readonly unknown[] = []): unknown {
    if (typeof text !== "string") throw new TypeError("The store reads without cursors.");
    return guardedQuery(client, broken, text, values);
  }
  return query;
}
