import { createSecureContext, type SecureContextOptions } from "node:tls";
import { type Certified, endsSoon, type TlsSettings } from "../config/tls.ts";
import { LOOK_EVERY_MS, watchFiles } from "../core/reload.ts";
import type { Logger } from "./log.ts";

/** What a port encrypts by. */
export type TlsContext = Pick<SecureContextOptions, "cert" | "key" | "minVersion">;

/** A server's certificate as it is now. */
export interface Tls extends Disposable {
  readonly context: TlsContext;
  /** Calls `use` with each new context from now on. */
  follow(use: (context: TlsContext) => void): void;
}

/** What {@link openTls} works with. */
export interface OpenTlsOptions {
  /** The wall clock. */
  readonly now: () => Date;
  readonly log: Logger;
  /** How often (ms) the files are looked at. Default 2,000. */
  readonly lookEveryMs?: number;
}

/** How often (ms) it is looked whether the certificate ends soon. */
const LOOK_AT_END_MS = 3_600_000;

/**
 * Keeps the certificate of a server: files that change are read again, and what does not fit leaves what there was. Connections that
 * are open go on with the certificate that they began with.
 *
 * @throws Error when certificate and key are not good any longer, since the configuration was read.
 */
export function openTls(
  settings: Extract<TlsSettings, { kind: "certificate" }>,
  { now, log, lookEveryMs = LOOK_EVERY_MS }: OpenTlsOptions,
): Tls {
  const first = settings.load();
  if (typeof first === "string") throw new Error(`tls.certificate: ${first}`);
  let current: Certified = first;
  const contextOf = ({ certificate, key }: Certified): TlsContext => ({
    cert: certificate,
    key,
    minVersion: settings.minVersion,
  });
  const users: ((context: TlsContext) => void)[] = [];
  const changed = (): void => {
    const next = settings.load();
    const wrong = typeof next === "string" ? next : wrongContext(contextOf(next));
    if (typeof next === "string" || wrong !== undefined) {
      log.warn({ field: "tls.certificate" }, `the certificate of before is served on: ${wrong}`);
      return;
    }
    if (next.certificate === current.certificate && next.key === current.key) return;
    current = next;
    for (const use of users) use(contextOf(next));
    log.info({ ends: new Date(next.expireTime).toISOString() }, "a new certificate is served");
  };
  const watching = watchFiles(settings.files, { everyMs: lookEveryMs, changed });
  const timer = setInterval(() => {
    const warning = endsSoon(current, now().getTime());
    if (warning !== undefined) log.warn({ field: "tls.certificate" }, warning);
  }, LOOK_AT_END_MS);
  timer.unref();
  return {
    context: contextOf(first),
    follow: (use) => void users.push(use),
    [Symbol.dispose]() {
      clearInterval(timer);
      watching[Symbol.dispose]();
    },
  };
}

/** Why OpenSSL would not take a context; undefined when it does. */
function wrongContext(context: TlsContext): string | undefined {
  try {
    createSecureContext(context);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
