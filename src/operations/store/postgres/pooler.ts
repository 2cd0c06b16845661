import type pg from "pg";
import { StoreRefused } from "../store.ts";
import type { GiveAddress } from "./address.ts";
import { clientOf } from "./pool.ts";

/** So often it is looked whether a session changes: another client of the pooler may have taken it meanwhile. */
const LOOKS = 3;

/**
 * Refuses a pooler that gives each transaction whichever connection is free, such as pgbouncer with `pool_mode = transaction`: what is
 * set for a session (how durably it commits, when it gives up) would hold for other transactions than ours, and nobody would hear what
 * other replicas tell (LISTEN).
 *
 * @throws StoreRefused
 */
export async function refuseSharedSessions(url: GiveAddress): Promise<void> {
  const Client = clientOf(url);
  const one = new Client();
  const other = new Client();
  // What breaks is told to who asks next.
  for (const client of [one, other]) client.on("error", () => undefined);
  try {
    await one.connect();
    const own = await backendOf(one);
    // A pooler tells of a process of its own.
    if (own === Reflect.get(one, "processID")) return;
    await other.connect();
    for (let look = 0; look < LOOKS; look++) {
      await other.query("begin");
      const taken = await backendOf(other);
      await other.query("rollback");
      if (taken === own || (await backendOf(one)) !== own) {
        throw new StoreRefused(
          "The store's address leads to a pooler that gives each transaction another connection, such as pgbouncer with pool_mode=transaction: what restartd sets for a connection, and LISTEN, need one of its own. Let the address name PostgreSQL itself, or a pool with pool_mode=session.",
        );
      }
    }
  } finally {
    for (const client of [one, other]) client.connection.stream.destroy();
  }
}

/** Process of PostgreSQL's that answers. */
async function backendOf(client: pg.Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>("select pg_backend_pid() as pid");
  return rows[0]?.pid;
}
