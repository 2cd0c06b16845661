import type { VendorReply, VendorRequest } from "./exchange.ts";

/** Where a connection is cut, by TCP RST. */
export type DisconnectPoint = "before-executing" | "after-executing" | "while-answering";

/** Something that goes wrong with the requests it matches. Parts can be combined; they act in the order they are listed. */
export interface Fault {
  /** HTTP method. Default any. */
  readonly method?: string;
  /** Tested against path and query. Default any. */
  readonly path?: RegExp;
  /** A further condition. */
  readonly when?: (request: VendorRequest) => boolean;
  /** For how many requests. Default 1; `Number.POSITIVE_INFINITY` for all. */
  readonly times?: number;
  /** Cuts the connection instead of, or after, executing. */
  readonly disconnect?: DisconnectPoint;
  /** Runs before the request is executed: the place to change the world under it (a race), or to hold it. */
  readonly before?: (request: VendorRequest) => void | Promise<void>;
  /** Milliseconds to wait before executing. */
  readonly delayBefore?: number;
  /** Answers this. A reply comes instead of executing unless `execute` is true; a function gets the real reply. */
  readonly answer?: VendorReply | ((original: VendorReply) => VendorReply);
  /** With a ready `answer`: execute first, then answer it. Default false. */
  readonly execute?: boolean;
  /** Milliseconds to wait between executing and answering. */
  readonly delayAfter?: number;
}

/** A fault in place. */
export interface InjectedFault {
  /** How many requests it hit so far. */
  readonly hits: number;
  /** Takes it away. */
  remove(): void;
}

/** Makes requests that may change something go wrong at random. */
export interface Chaos {
  /** A number from 0 to below 1; a seeded one makes it repeatable. */
  readonly random: () => number;
  /** From 0, never, to 1, always. */
  readonly rate: number;
}

/** How the vendor says what chaos has it say. */
export interface ChaosReplies {
  /** A 5xx, after the request was executed. */
  readonly serverError: VendorReply;
  /** A 429, instead of executing. */
  readonly throttled: VendorReply;
}

/** How long (ms) at most chaos keeps an answer back. */
const SLOW_MS = 200;

interface Entry {
  readonly fault: Fault;
  hits: number;
}

/** The faults in place; the oldest that matches wins, and chaos comes after all of them. */
export class FaultList {
  readonly #replies: ChaosReplies;
  #entries: Entry[] = [];
  #chaos: Chaos | undefined;

  constructor(replies: ChaosReplies) {
    this.#replies = replies;
  }

  /** Puts a fault in place. */
  inject(fault: Fault): InjectedFault {
    const entry: Entry = { fault, hits: 0 };
    this.#entries.push(entry);
    return {
      get hits() {
        return entry.hits;
      },
      remove: () => {
        this.#entries = this.#entries.filter((other) => other !== entry);
      },
    };
  }

  /** Takes every fault away; chaos stays. */
  clear(): void {
    this.#entries = [];
  }

  /** Switches chaos on or off. */
  chaos(chaos: Chaos | undefined): void {
    this.#chaos = chaos;
  }

  /** The fault that hits this request; it counts as used. */
  take(request: VendorRequest, changes: boolean): Fault | undefined {
    const entry = this.#entries.find(({ fault, hits }) => hits < (fault.times ?? 1) && matches(fault, request));
    if (entry !== undefined) {
      entry.hits += 1;
      return entry.fault;
    }
    const chaos = this.#chaos;
    return chaos !== undefined && changes && chaos.random() < chaos.rate
      ? anyOf(this.#replies, chaos.random)
      : undefined;
  }
}

function matches(fault: Fault, request: VendorRequest): boolean {
  return (
    (fault.method === undefined || fault.method === request.method) &&
    (fault.path === undefined || fault.path.test(request.url)) &&
    (fault.when === undefined || fault.when(request))
  );
}

/** One of the things that chaos does to a request. */
function anyOf({ serverError, throttled }: ChaosReplies, random: () => number): Fault | undefined {
  const which = random();
  const slow = Math.ceil(random() * SLOW_MS);
  const choices: readonly Fault[] = [
    { disconnect: "before-executing" },
    { disconnect: "after-executing" },
    { disconnect: "while-answering" },
    { execute: true, answer: serverError },
    { delayBefore: slow },
    { delayAfter: slow },
    { answer: throttled },
  ];
  return choices[Math.floor(which * choices.length)];
}
