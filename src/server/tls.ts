import { createSecureContext, type SecureContextOptions } from "node:tls";
import type { CertificateSettings } from "../access/certificates.ts";
import { type Certified, endsSoon, type TlsSettings } from "../config/tls.ts";
import { LOOK_EVERY_MS, watchFiles } from "../core/reload.ts";
import type { Logger } from "./log.ts";

/** What a port encrypts by. */
export type TlsContext = Pick<SecureContextOptions, "cert" | "key" | "minVersion" | "ca" | "crl">;

/** A server's certificate as it is now. */
export interface Tls extends Disposable {
  readonly context: TlsContext;
  /** Whether clients are asked for a certificate. They need not have one. */
  readonly asksClients: boolean;
  /**
   * Calls `use` with each new context from now on.
   *
   * @param use told whether connections have to be made anew, because clients are judged in another way.
   */
  follow(use: (context: TlsContext, anew: boolean) => void): void;
}

/** What {@link openTls} works with. */
export interface OpenTlsOptions {
  /** The wall clock. */
  readonly now: () => Date;
  readonly log: Logger;
  /** What client certificates are judged by; undefined: none are asked for. */
  readonly clients?: CertificateSettings | undefined;
  /** How often (ms) the files are looked at. Default 2,000. */
  readonly lookEveryMs?: number;
}

interface Loaded {
  readonly certified: Certified;
  readonly context: TlsContext;
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
  { now, log, clients, lookEveryMs = LOOK_EVERY_MS }: OpenTlsOptions,
): Tls {
  const load = (): Loaded | string => {
    const certified = settings.load();
    if (typeof certified === "string") return certified;
    const authorities = clients?.load();
    if (typeof authorities === "string") return authorities;
    const { certificate: cert, key } = certified;
    const { ca, crl } = authorities ?? {};
    const context = { cert, key, minVersion: settings.minVersion, ...(ca && { ca }), ...(crl && { crl }) };
    return wrongContext(context) ?? { certified, context };
  };
  const first = load();
  if (typeof first === "string") throw new Error(`tls: ${first}`);
  let current = first;
  const users: ((context: TlsContext, anew: boolean) => void)[] = [];
  const changed = (): void => {
    const next = load();
    if (typeof next === "string") {
      log.warn({ field: "tls", detail: next }, "the certificate of before is served on");
      return;
    }
    const { context: before } = current;
    const anew = next.context.ca !== before.ca || next.context.crl !== before.crl;
    if (!anew && next.context.cert === before.cert && next.context.key === before.key) return;
    current = next;
    for (const use of users) use(next.context, anew);
    const ends = new Date(next.certified.expireTime).toISOString();
    log.info({ ends }, anew ? "clients are judged by new authorities" : "a new certificate is served");
  };
  const watching = watchFiles([...settings.files, ...(clients?.files ?? [])], { everyMs: lookEveryMs, changed });
  const timer = setInterval(() => {
    const warning = endsSoon(current.certified, now().getTime());
    if (warning !== undefined) log.warn({ field: "tls.certificate", detail: warning }, "the certificate ends soon");
  }, LOOK_AT_END_MS);
  timer.unref();
  return {
    context: first.context,
    asksClients: clients !== undefined,
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
