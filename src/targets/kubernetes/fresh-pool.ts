import { Dispatcher, Pool } from "undici";

/** Makes a dispatcher whose pools are made by `factory`: an Agent, a ProxyAgent. */
export type MakeDispatcher = (factory: (origin: string | URL, options: object) => Dispatcher) => Dispatcher;

/**
 * Connections of which none is in the way of the others: when a server wants one to end (HTTP/2's GOAWAY: API servers that shut down,
 * or spread their load) while streams on it go on, new requests get new connections, and what is open on the old ones finishes.
 *
 * undici by itself (8.12.4) queues requests behind the open streams of such a connection: behind a watch, that is minutes. Nor can
 * an Agent be destroyed while it is closing; this can.
 */
export class FreshPool extends Dispatcher {
  readonly #make: MakeDispatcher;
  /** Every pool that is not closed. */
  readonly #pools = new Set<Pool>();
  #current: Dispatcher | undefined;
  #closed = false;

  constructor(make: MakeDispatcher) {
    super();
    this.#make = make;
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    if (this.#closed) {
      throw new Error("the connection to the cluster is closed");
    }
    this.#current ??= this.#make((origin, poolOptions) => this.#makePool(origin, poolOptions));
    return this.#current.dispatch(options, handler);
  }

  /** Resolves when everything that is open has finished. */
  override async close(): Promise<void> {
    this.#closed = true;
    await this.#retire();
  }

  /** Ends everything that is open. */
  override async destroy(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#current?.destroy(), ...[...this.#pools].map((pool) => pool.destroy())]);
    this.#pools.clear();
  }

  #makePool(origin: string | URL, options: object): Pool {
    const pool = new Pool(origin, options);
    this.#pools.add(pool);
    pool.on("disconnect", () => {
      // A connection that broke has nothing left running.
      if (pool.stats.running > 0) {
        void this.#retire();
      }
    });
    return pool;
  }

  async #retire(): Promise<void> {
    const pools = [...this.#pools];
    const retired = this.#current;
    this.#current = undefined;
    // An Agent has closed those pools that it had no use for any more.
    const open = pools.filter(({ destroyed }) => !destroyed);
    await Promise.all([retired?.close(), ...open.map((pool) => pool.close())]);
    for (const pool of pools) {
      this.#pools.delete(pool);
    }
  }
}
