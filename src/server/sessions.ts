import type { ServerHttp2Session } from "node:http2";
import type { Logger } from "./log.ts";

/** How long sessions of HTTP/2 may be silent. */
export interface SessionOptions {
  /** Every so many milliseconds a client is asked whether it is still there. */
  readonly pingIntervalMs: number;
  /** A client that has not answered after so many milliseconds has gone, and with it its streams. */
  readonly pingTimeoutMs: number;
  /** A session without a stream is closed after so many milliseconds. One with a stream never is. */
  readonly idleTimeoutMs: number;
}

/** Sees to it that a session ends when it is idle, or when its client has vanished without a word. */
export function superviseSession(session: ServerHttp2Session, options: SessionOptions, log: Logger): void {
  let streams = 0;
  let idle: NodeJS.Timeout | undefined;
  const waitForStream = (): void => {
    idle = setTimeout(() => session.close(), options.idleTimeoutMs);
  };
  waitForStream();
  session.on("stream", (stream) => {
    streams++;
    clearTimeout(idle);
    stream.once("close", () => {
      streams--;
      if (streams === 0 && !session.closed) {
        waitForStream();
      }
    });
  });
  const pings = setInterval(() => ping(session, options.pingTimeoutMs, log), options.pingIntervalMs);
  session.once("close", () => {
    clearTimeout(idle);
    clearInterval(pings);
  });
  session.on("error", (error) => log.debug({ detail: error.message }, "http/2 session"));
}

function ping(session: ServerHttp2Session, timeoutMs: number, log: Logger): void {
  if (session.destroyed) {
    return;
  }
  const timer = setTimeout(() => {
    log.debug({ peer: session.socket.remoteAddress }, "http/2 client vanished");
    session.destroy();
  }, timeoutMs).unref();
  // False when too many pings are unanswered already: then their timers decide.
  if (!session.ping(() => clearTimeout(timer))) {
    clearTimeout(timer);
  }
}
