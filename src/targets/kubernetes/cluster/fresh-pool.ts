import { subscribe } from "node:diagnostics_channel";
import type { ClientHttp2Stream } from "node:http2";
import { Client, Dispatcher, Pool } from "undici";

// undici (8.12.4) takes its listeners off a stream that it has ended. When the connection is destroyed before Node has done with the
// stream, as happens when a cluster is closed, the stream fails once more: with nobody left to be told, that would end the process.
subscribe("http2.client.stream.created", (created) => {
  (created as { readonly stream: ClientHttp2Stream }).stream.on("error", () => {});
});

/** Makes a dispatcher whose pools are made by `factory`: an Agent, a ProxyAgent. */
export type MakeDispatcher = (factory: (origin: string | URL, options: object) => Dispatcher) => Dispatcher;

/** A dispatcher, with the pools that it made and that are not closed. */
interface Generation {
  readonly dispatcher: Dispatcher;
  readonly pools: Set<Pool>;
}

/**
 * Connections of which none is in the way of the others: when a server wants one to end (HTTP/2's GOAWAY: API servers that shut down,
 * or spread their load) while streams on it go on, new requests get new connections, and what is open on the old ones finishes.
 *
 * undici by itself (8.12.4) queues requests behind the open streams of such a connection, new ones and those that it takes back: behind
 * a watch, that is minutes. Nor can an Agent be destroyed while it is closing; this can.
 */
export class FreshPool extends Dispatcher {
  readonly #make: MakeDispatcher;
  readonly #generations = new Set<Generation>();
  #current: Generation;

  /** Throws what `make` throws. */
  constructor(make: MakeDispatcher) {
    super();
    this.#make = make;
    this.#current = this.#begin();
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    return this.#current.dispatcher.dispatch(options, handler);
  }

  /** Resolves when everything that is open has finished. */
  override async close(): Promise<void> {
    await this.#retire(this.#current);
  }

  /** Ends everything that is open. */
  override async destroy(): Promise<void> {
    const open = [...this.#generations].flatMap(({ dispatcher, pools }) => [dispatcher, ...pools]);
    await Promise.all(open.map((dispatcher) => dispatcher.destroy()));
  }

  #begin(): Generation {
    const pools = new Set<Pool>();
    const dispatcher = this.#make((origin, options) => {
      const pool = new Pool(origin, options);
      pools.add(pool);
      pool.on("disconnect", (_origin, targets) => {
        const client = targets.at(-1);
        // A connection that broke has nothing left running.
        if (!(client instanceof Client) || client.stats.running === 0) {
          return;
        }
        // What undici takes back from it waits for nothing that is open on it.
        client.pipelining = Number.MAX_SAFE_INTEGER;
        if (generation === this.#current) {
          this.#current = this.#begin();
          this.#retire(generation).catch(() => {}); // what was open has failed by itself, and told so
        }
      });
      return pool;
    });
    const generation: Generation = { dispatcher, pools };
    this.#generations.add(generation);
    return generation;
  }

  async #retire(generation: Generation): Promise<void> {
    const { dispatcher, pools } = generation;
    // A ProxyAgent that closes gives its pools no more tunnels: they finish first. Those that an Agent had no use for are closed.
    await Promise.all([...pools].filter(({ destroyed }) => !destroyed).map((pool) => pool.close()));
    await dispatcher.destroy();
    this.#generations.delete(generation);
  }
}
