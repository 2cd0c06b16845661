import type pg from "pg";
import type { GiveAddress } from "./address.ts";
import { clientOf } from "./pool.ts";

/** Channel of PostgreSQL that carries what changed. */
export const CHANNEL = "restartd_operation";

const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;
/** How often a connection that is silent is asked whether it still is one: nobody is told of anything while it is not. */
const PROBE_MS = 2_000;

/**
 * Listens for what other replicas change, on a connection of its own, which is made again whenever it breaks. What is said meanwhile
 * is lost.
 *
 * @param onPayload is told what is said; undefined each time that something may have been lost, once that is over.
 * @param warn is told once of each time that it breaks.
 * @returns ends it.
 */
export function listen(
  url: GiveAddress,
  onPayload: (payload: string | undefined) => void,
  warn: (message: string) => void,
): () => void {
  const listener = new Listener(url, onPayload, warn);
  listener.connect();
  return () => listener.close();
}

/** So long (ms) names are gathered before the other replicas are told of them together. */
const GATHER_MS = 10;

/** So many names are told in one payload, of which PostgreSQL takes 8,000 bytes. */
const NAMES = 100;

/**
 * Tells the other replicas of what has changed, after it was committed and with all that changed at about the same time: who notifies
 * while it commits holds a lock that the whole database has one of. What is lost, they find by looking.
 *
 * @param own begins every payload.
 */
export function createAnnouncer(pool: pg.Pool, own: string): (name: string) => void {
  const gathered = new Set<string>();
  const announce = (): void => {
    const names = [...gathered];
    gathered.clear();
    for (let at = 0; at < names.length; at += NAMES) {
      const payload = own + names.slice(at, at + NAMES).join(" ");
      pool.query("select pg_notify($1, $2)", [CHANNEL, payload]).catch(() => {}); // as while it is away
    }
  };
  return (name) => {
    if (gathered.size === 0) setTimeout(announce, GATHER_MS);
    gathered.add(name);
  };
}

class Listener {
  readonly #Client: ReturnType<typeof clientOf>;
  readonly #onPayload: (payload: string | undefined) => void;
  readonly #warn: (message: string) => void;
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  #retryMs = FIRST_RETRY_MS;
  #closed = false;

  constructor(url: GiveAddress, onPayload: (payload: string | undefined) => void, warn: (message: string) => void) {
    this.#Client = clientOf(url);
    this.#onPayload = onPayload;
    this.#warn = warn;
  }

  connect(): void {
    const client = new this.#Client();
    this.#client = client;
    client.on("notification", ({ payload }) => {
      if (payload !== undefined) this.#onPayload(payload);
    });
    client.on("error", (error) => this.#lost(client, error));
    client.on("end", () => this.#lost(client, new Error("the server closed it")));
    this.#begin(client).catch((error: Error) => this.#lost(client, error));
  }

  async #begin(client: pg.Client): Promise<void> {
    await client.connect();
    await client.query(`listen ${CHANNEL}`);
    this.#onPayload(undefined);
    this.#retryMs = FIRST_RETRY_MS;
    this.#probe(client);
  }

  #probe(client: pg.Client): void {
    if (this.#closed || this.#client !== client) return;
    this.#timer = setTimeout(() => {
      client.query("select 1").then(
        () => this.#probe(client),
        (error: Error) => this.#lost(client, error),
      );
    }, PROBE_MS);
    this.#timer.unref();
  }

  #lost(client: pg.Client, error: Error): void {
    if (this.#closed || this.#client !== client) return;
    if (this.#retryMs === FIRST_RETRY_MS) {
      this.#warn(`the connection that listens to PostgreSQL broke, and is made again: ${error.message}`);
    }
    this.#client = undefined;
    client.connection.stream.destroy();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.connect(), this.#retryMs);
    this.#timer.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, LONGEST_RETRY_MS);
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#client?.connection.stream.destroy();
  }
}
