import { type Answer, NoAnswer } from "../../../src/clouds/http.ts";
import type { Client, Request } from "../../../src/targets/kubernetes/client.ts";

/** What a {@link Client} was asked. */
export interface Asked {
  readonly type: "list" | "watch" | "get";
  readonly path: string;
  readonly query: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs: number;
}

/** A watch that a test feeds. */
export interface Stream {
  /** Sends an object as one line; a string as it is. */
  send(...lines: unknown[]): void;
  /** Ends it as a server does in its own time. */
  end(): void;
  /** Breaks it. */
  fail(error: Error): void;
  /** Whether its reader went away. */
  readonly left: boolean;
  /** For the client. */
  readonly lines: AsyncIterable<string>;
}

/** Makes a watch that a test feeds. */
export function newStream(): Stream {
  const waiting: string[] = [];
  let ended: { error?: Error } | undefined;
  let wake = () => {};
  let left = false;
  return {
    get left() {
      return left;
    },
    send(...lines: unknown[]) {
      waiting.push(...lines.map((line) => (typeof line === "string" ? line : JSON.stringify(line))));
      wake();
    },
    end() {
      ended = {};
      wake();
    },
    fail(error: Error) {
      ended = { error };
      wake();
    },
    lines: (async function* () {
      try {
        for (;;) {
          yield* waiting.splice(0);
          if (ended !== undefined) {
            if (ended.error) throw ended.error;
            return;
          }
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      } finally {
        left = true;
      }
    })(),
  };
}

/** An answer with a JSON body. */
export function answer(status: number, json: unknown, headers: Record<string, string> = {}): Answer {
  return { status, json, text: JSON.stringify(json), headers };
}

/** A Status, as API servers refuse. */
export const refusal = (code: number, message: string, reason?: string): Answer =>
  answer(code, { kind: "Status", status: "Failure", message, reason, code, details: {} });

/** What a script says to a request: an answer, a watch, or that none comes. */
export type Reply = Answer | Stream | Error;

/**
 * A client without a network. `script` gets each request with its number, counted from 0 over all of one type, and says what comes of
 * it. A watch ends with its signal, as undici's does.
 */
export function scriptedClient(script: (asked: Asked, count: number) => Reply | Promise<Reply>): {
  readonly client: Client;
  readonly asked: Asked[];
} {
  const asked: Asked[] = [];
  const reply = async (type: Asked["type"], { path, query = {}, timeoutMs, signal }: Omit<Request, "onSend">) => {
    const count = asked.filter((earlier) => earlier.type === type).length;
    const entry = { type, path, query, timeoutMs };
    asked.push(entry);
    const found = await script(entry, count);
    if (signal.aborted) throw new NoAnswer(true, signal.reason);
    if (found instanceof Error) throw new NoAnswer(true, found);
    return found;
  };
  const client: Client = {
    async request(request) {
      const found = await reply(request.query !== undefined && "limit" in request.query ? "list" : "get", request);
      if ("lines" in found) throw new Error("a watch was said where a list was asked for");
      return found;
    },
    async watch(request) {
      const found = await reply("watch", request);
      if (!("lines" in found)) return found;
      request.signal.addEventListener("abort", () => found.fail(request.signal.reason), { once: true });
      return found.lines;
    },
    [Symbol.asyncDispose]: async () => {},
  };
  return { client, asked };
}
