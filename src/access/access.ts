import type { Config } from "../../gen/restart/config/v1/config_pb.ts";
import type { Authorizer } from "../core/access.ts";
import { LOOK_EVERY_MS, watchFiles } from "../core/reload.ts";
import type { SectionReader } from "../core/section-reader.ts";
import { type Authenticate, createAuthenticate } from "./authenticate.ts";
import { readAuthorization } from "./authorization.ts";
import { type CertificateSettings, createCertificateVerifier, readCertificates } from "./certificates.ts";
import { openIssuers, readIssuers } from "./issuers.ts";
import { createJwtVerifier } from "./jwt.ts";
import type { AccessOptions } from "./reloaded.ts";
import { createTokenVerifier, readTokens } from "./tokens.ts";

/** What access works with while the server runs. */
export interface AccessRuntime {
  /** The wall clock. */
  readonly now: () => Date;
  /** A clock in ms that never goes back. */
  readonly monotonic: () => number;
  /** Takes what deserves a line in the log. */
  readonly warn: (message: string) => void;
  /** How often (ms) files are looked at. Default 2,000. */
  readonly lookEveryMs?: number;
}

/** Who may do what, at work. */
export interface RunningAccess extends AsyncDisposable {
  readonly authenticate: Authenticate;
  readonly authorizer: Authorizer;
  /** What client certificates are judged by; undefined when none are asked for. */
  readonly clients: CertificateSettings | undefined;
  /** Whether some calls have to say why they are made. */
  readonly wantsReasons: () => boolean;
  /** Who gives out tokens that are taken, beside those of a file. */
  readonly issuers: readonly { readonly name: string; readonly issuer: string }[];
  /** Whom to ask for rights; empty where nobody is named. */
  readonly contact: string;
}

/** Begins to work, by what the configuration says. */
export type OpenAccess = (runtime: AccessRuntime) => RunningAccess;

/**
 * Judges the sections about who may do what, and the files that they name.
 *
 * @returns undefined when nobody is asked who they are.
 */
export function readAccess(sections: Config, reader: SectionReader, options: AccessOptions): OpenAccess | undefined {
  const { authentication, authorization } = sections;
  if (authentication === undefined) {
    if (authorization !== undefined) {
      reader.problem(["authorization"], "must have authentication beside it: without that nobody is judged");
    }
    return undefined;
  }
  if (authorization === undefined) {
    reader.problem(["authentication"], "must have authorization beside it: without rules nobody may do anything");
  }
  const tokens = readTokens(authentication.tokens, reader, options);
  const settings = readIssuers(authentication.issuers, reader);
  const encrypts = sections.tls !== undefined && !sections.tls.terminatedByProxy;
  const clients = readCertificates(authentication.certificates, encrypts, reader);
  const policy = readAuthorization(authorization, sections, reader, options);
  return ({ now, monotonic, warn, lookEveryMs = LOOK_EVERY_MS }) => {
    const complain = rarely(warn, now);
    const newAuthorizer = (): Authorizer =>
      policy
        .current()
        .authorizer(now, (rule, error) => complain(`rule ${rule} could not be evaluated: ${error.message}`, rule));
    let current = newAuthorizer();
    const watching = [tokens, policy].map((part) =>
      watchFiles(part.files, {
        everyMs: lookEveryMs,
        changed: () => {
          const wrong = part.reload();
          if (wrong !== undefined) warn(wrong);
          current = newAuthorizer();
        },
      }),
    );
    const open = openIssuers(settings, { monotonic, warn: complain });
    return {
      authenticate: createAuthenticate({
        token: createTokenVerifier(tokens.current, now),
        jwt: createJwtVerifier(open.issuers, { now, monotonic }),
        certificate: clients && createCertificateVerifier(clients.trustDomain, now),
      }),
      clients,
      authorizer: {
        authorize: (question) => current.authorize(question),
        mayEver: (principal, permission) => current.mayEver(principal, permission),
        mayAlways: (principal, permission) => current.mayAlways(principal, permission),
        wrongReasons: (permission, targets, reason) => current.wrongReasons(permission, targets, reason),
      },
      wantsReasons: () => policy.current().wantsReasons,
      issuers: settings.map(({ name, issuer }) => ({ name, issuer })),
      contact: authorization?.contact ?? "",
      async [Symbol.asyncDispose]() {
        for (const one of watching) one[Symbol.dispose]();
        await open[Symbol.asyncDispose]();
      },
    };
  };
}

/** What is complained of is so once a minute at most. */
const COMPLAIN_EVERY_MS = 60_000;

/** Passes a complaint on, but none about what was complained of a moment ago. */
export function rarely(warn: (message: string) => void, now: () => Date): (message: string, about?: string) => void {
  const warnedAt = new Map<string, number>();
  return (message, about = message) => {
    const time = now().getTime();
    for (const [old, at] of warnedAt) if (time - at >= COMPLAIN_EVERY_MS) warnedAt.delete(old);
    if (warnedAt.has(about)) return;
    warnedAt.set(about, time);
    warn(message);
  };
}
