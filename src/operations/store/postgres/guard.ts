import pg from "pg";
import type { NoticeMessage } from "pg-protocol/dist/messages.js";
import { UncertainCommit } from "../store.ts";

/**
 * Runs a statement on a connection so that doubt about a commit shows as {@link UncertainCommit}, and nothing else does.
 *
 * A connection that did not answer is destroyed at once: what it may still say belongs to nobody. Kysely rolls back after whatever
 * goes wrong; on a connection that is gone the server does so itself, and here that succeeds, so that the first error is the one
 * that is seen.
 */
export async function guardedQuery(
  client: pg.PoolClient,
  broken: { now: boolean },
  text: string,
  values: readonly unknown[],
): Promise<pg.QueryResult> {
  if (broken.now && text === "rollback") return NOTHING;
  try {
    return text === "commit" ? await commit(client, { text }) : await client.query(text, [...values]);
  } catch (error) {
    const reported = error instanceof UncertainCommit ? error.cause : error;
    if (!(reported instanceof pg.DatabaseError) || endsConnection(reported) || error instanceof UncertainCommit) {
      broken.now = true;
      client.connection.stream.destroy();
    }
    if (text === "rollback" && broken.now) return NOTHING;
    throw error;
  }
}

/**
 * Runs one statement that is a transaction of its own, so that doubt about its commit shows as {@link UncertainCommit}: what is no error
 * of the statement's own is doubt.
 */
export async function guardedStatement(
  client: pg.PoolClient,
  broken: { now: boolean },
  statement: pg.QueryConfig,
): Promise<pg.QueryResult> {
  try {
    return await commit(client, statement);
  } catch (error) {
    if (error instanceof UncertainCommit) {
      broken.now = true;
      client.connection.stream.destroy();
    }
    throw error;
  }
}

const NOTHING: pg.QueryResult = { command: "ROLLBACK", rowCount: 0, oid: 0, fields: [], rows: [] };

/**
 * A notice during COMMIT is doubt whatever it says, for its words depend on the server's language: `The transaction has already
 * committed locally, but might not have been replicated to the standby.`
 */
async function commit(client: pg.PoolClient, statement: pg.QueryConfig): Promise<pg.QueryResult> {
  let notice: NoticeMessage | undefined;
  const listen = (message: NoticeMessage) => {
    notice = message;
  };
  client.on("notice", listen);
  try {
    const result = await client.query(statement);
    if (notice === undefined) return result;
  } catch (error) {
    if (error instanceof pg.DatabaseError && isRefusal(error)) throw error;
    throw new UncertainCommit("PostgreSQL did not say whether it has committed", { cause: error });
  } finally {
    client.off("notice", listen);
  }
  throw new UncertainCommit(`PostgreSQL has committed, but not as safely as it should: ${words(notice)}`);
}

const words = ({ message, detail }: NoticeMessage): string =>
  [message, detail].filter((text) => text !== undefined).join("; ");

/**
 * A commit that has certainly not happened: a constraint (class 23), a conflict with another transaction (class 40), or a statement that
 * cannot be run (classes 22, 42).
 */
const isRefusal = ({ code = "" }: pg.DatabaseError): boolean => /^(22|23|40|42)/.test(code) && code !== "40003";

/** The server closes the connection after these: administrators, crashes, idle in a transaction for too long. */
const endsConnection = ({ code = "" }: pg.DatabaseError): boolean =>
  code.startsWith("57P") || code.startsWith("08") || code === "25P03";
