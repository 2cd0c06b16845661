import type { Random } from "./random.ts";

/** What goes wrong with a request; every simulator knows these words. */
export interface Mischief<Reply> {
  readonly disconnect?: "before-executing" | "after-executing" | "while-answering";
  readonly delayBefore?: number;
  /** A reply comes instead of executing; a function is asked after it. */
  readonly answer?: Reply | (() => Reply);
  readonly delayAfter?: number;
}

/** Mischief by its name, with its share in percent; what is left goes well. */
export type Shares<Reply> = Readonly<Record<string, readonly [percent: number, mischief: Mischief<Reply>]>>;

/** How a vendor, or what stands before it, says what it must not be believed. */
export interface Replies<Reply> {
  /** Says nothing of whether the request was executed. */
  readonly serverError: Reply;
  /** Says that it was not. */
  readonly throttled: Reply;
}

/** What goes wrong with requests that change something. */
export const writesOf = <Reply>({ serverError, throttled }: Replies<Reply>): Shares<Reply> => ({
  "dropped before executing": [12, { disconnect: "before-executing" }],
  "executed, then reset": [14, { disconnect: "after-executing" }],
  "executed, then cut in the answer": [6, { disconnect: "while-answering" }],
  "executed, then answered 5xx": [10, { answer: () => serverError }],
  "answered 429": [6, { answer: throttled }],
  "slow to execute": [8, { delayBefore: 900 }],
  "slow to answer": [8, { delayAfter: 900 }],
});

/** The same for all others. */
export const readsOf = <Reply>({ serverError }: Replies<Reply>): Shares<Reply> => ({
  "read reset": [12, { disconnect: "before-executing" }],
  "read answered 5xx": [8, { answer: () => serverError }],
  "slow read": [5, { delayBefore: 400 }],
});

/** What {@link Mischiefs} are made of. */
export interface MischiefOptions<Request, Reply> {
  readonly random: Random;
  readonly writes: Shares<Reply>;
  readonly reads: Shares<Reply>;
  /** Whether a request changes something. */
  readonly changes: (request: Request) => boolean;
}

/** A fault as simulators take it: it is in place for good, and hits the requests that drew it. */
export interface Drawn<Request, Reply> extends Mischief<Reply> {
  readonly when: (request: Request) => boolean;
  readonly times: number;
}

/** Draws what becomes of each request to a simulator. */
export class Mischiefs<Request extends object, Reply> {
  chaotic = false;
  /** How many requests that change something have arrived. */
  writes = 0;
  /** How often each thing was drawn. */
  readonly counts = new Map<string, number>();
  readonly #options: MischiefOptions<Request, Reply>;
  readonly #drawn = new WeakMap<Request, string>();

  constructor(options: MischiefOptions<Request, Reply>) {
    this.#options = options;
  }

  /** One for each thing that can become of a request, that it goes well among them. */
  get faults(): Drawn<Request, Reply>[] {
    const { writes, reads } = this.#options;
    const all: Shares<Reply> = { ...writes, ...reads, well: [0, {}] };
    return Object.entries(all).map(([kind, [, mischief]]) => ({
      ...mischief,
      when: (request) => this.#draw(request) === kind,
      times: Number.POSITIVE_INFINITY,
    }));
  }

  /** Drawn once for each request. */
  #draw(request: Request): string {
    const known = this.#drawn.get(request);
    if (known !== undefined) return known;
    if (this.#options.changes(request)) this.writes += 1;
    const drawn = this.chaotic ? this.#choose(request) : "well";
    this.#drawn.set(request, drawn);
    this.counts.set(drawn, (this.counts.get(drawn) ?? 0) + 1);
    return drawn;
  }

  #choose(request: Request): string {
    const { random, changes, writes, reads } = this.#options;
    let left = random.next() * 100;
    for (const [kind, [percent]] of Object.entries(changes(request) ? writes : reads)) {
      left -= percent;
      if (left < 0) return kind;
    }
    return "well";
  }
}
