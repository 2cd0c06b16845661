import type { SecureClientSessionOptions } from "node:http2";
import { type ClientHttp2Session, connect, constants } from "node:http2";

/** One request of a load, the same each time but for its body or path. */
export interface Shot {
  readonly path: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What a load measured. */
export interface Measured {
  /** Latencies in milliseconds, sorted. */
  readonly latencies: readonly number[];
  readonly perSecond: number;
}

/** One HTTP/2 connection that fires requests: the cheapest client there is, so that what is measured is the server. */
export class Gun implements Disposable {
  readonly #session: ClientHttp2Session;

  /** @param address `https://` with the CA in `options`, or `http://` for HTTP/2 without TLS. */
  constructor(address: string, options: SecureClientSessionOptions = {}) {
    this.#session = connect(address, options);
    this.#session.setMaxListeners(0);
  }

  /** Rejects unless the answer is 200. */
  fire({ path, method, headers, body }: Shot): Promise<string> {
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const { HTTP2_HEADER_PATH, HTTP2_HEADER_METHOD, HTTP2_HEADER_STATUS } = constants;
    const stream = this.#session.request({ ...headers, [HTTP2_HEADER_PATH]: path, [HTTP2_HEADER_METHOD]: method });
    const chunks: Buffer[] = [];
    let status = 0;
    stream.on("response", (response) => {
      status = Number(response[HTTP2_HEADER_STATUS]);
    });
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () => {
      const text = Buffer.concat(chunks).toString();
      if (status === 200) {
        resolve(text);
      } else {
        reject(new Error(`HTTP ${status}: ${text.slice(0, 300)}`));
      }
    });
    stream.end(body);
    return promise;
  }

  [Symbol.dispose](): void {
    this.#session.destroy();
  }
}

/** Fires for `seconds` with so many callers, each waiting for its answer before it asks again. */
export async function load(gun: Gun, shot: () => Shot, callers: number, seconds: number): Promise<Measured> {
  const latencies: number[] = [];
  const started = performance.now();
  const end = started + seconds * 1000;
  const caller = async (): Promise<void> => {
    while (performance.now() < end) {
      const begun = performance.now();
      await gun.fire(shot());
      latencies.push(performance.now() - begun);
    }
  };
  await Promise.all(Array.from({ length: callers }, caller));
  const perSecond = latencies.length / ((performance.now() - started) / 1000);
  return { latencies: latencies.sort((left, right) => left - right), perSecond };
}

/** The value below which the given part (0 to 1) of sorted values lies. */
export function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.trunc(sorted.length * part))] ?? Number.NaN;
}

/** The middle one. */
export const median = (values: readonly number[]): number =>
  quantile(
    [...values].sort((left, right) => left - right),
    0.5,
  );
