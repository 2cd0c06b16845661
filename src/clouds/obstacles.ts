import { type Detail, Failure, type Reason, retryInfo } from "../core/errors.ts";

/** Why a request could not leave, by the code of a system error. */
interface Obstacle {
  readonly codes: readonly string[];
  readonly reason: Reason;
  /** @param who what was to be reached, or read, such as `IAM`. */
  readonly says: (who: string, code: string) => string;
  /** After how long (ms) the same call may succeed. Default: waiting does not help. */
  readonly retryMs?: number;
}

/** How long (ms) to wait where this machine has no more of something. */
const EXHAUSTED_MS = 1_000;

/** This machine, or this process, has no more of what a request or a file needs: nobody else is away. */
const EXHAUSTED: Obstacle = {
  codes: ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "EADDRNOTAVAIL"],
  reason: "QUEUE_FULL",
  says: (who, code) => `this server has no file, port or memory left to get at ${who} (${code}); nothing was sent`,
  retryMs: EXHAUSTED_MS,
};

/** Whether a code says that this machine is what is short of something. */
export const isExhausted = (code: string): boolean => EXHAUSTED.codes.includes(code);

/** What waiting does not mend: the codes are those of Node.js and of OpenSSL's X509_verify_cert. */
const OBSTACLES: readonly Obstacle[] = [
  EXHAUSTED,
  {
    codes: [
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "SELF_SIGNED_CERT_IN_CHAIN",
      "UNABLE_TO_GET_ISSUER_CERT",
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "CERT_UNTRUSTED",
      "CERT_SIGNATURE_FAILURE",
      "INVALID_CA",
    ],
    reason: "VENDOR_BAD_RESPONSE",
    says: (who, code) =>
      `${who} shows a certificate of an authority that is not known here (${code}); name the authority's PEM file as ca in the configuration`,
  },
  {
    codes: ["ERR_TLS_CERT_ALTNAME_INVALID", "HOSTNAME_MISMATCH"],
    reason: "VENDOR_BAD_RESPONSE",
    says: (who, code) =>
      `${who} shows a certificate for another host (${code}); check its address in the configuration`,
  },
  {
    codes: ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID", "CERT_REVOKED"],
    reason: "VENDOR_BAD_RESPONSE",
    says: (who, code) =>
      `${who} shows a certificate that is not valid now (${code}); it has to be renewed there, unless the clock of restartd's host is wrong`,
  },
  {
    codes: ["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_PACKET_LENGTH_TOO_LONG", "ERR_SSL_HTTP_REQUEST"],
    reason: "VENDOR_BAD_RESPONSE",
    says: (who, code) => `what is at the address of ${who} does not speak TLS (${code}); check the address's port`,
  },
  {
    codes: [
      "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
      "ERR_SSL_UNSUPPORTED_PROTOCOL",
      "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
      "ERR_SSL_DH_KEY_TOO_SMALL",
      "ERR_SSL_EE_KEY_TOO_SMALL",
    ],
    reason: "VENDOR_BAD_RESPONSE",
    says: (who, code) =>
      `${who} has no form of TLS that is safe enough for restartd (${code}); its TLS has to be renewed`,
  },
];

/** What a failure says beside its reason. */
export interface ObstacleContext {
  /** Begins the sentence, such as `site gis`. */
  readonly place: string;
  /** What was to be reached or read: continues the sentence. */
  readonly who: string;
  /** Names, never secrets. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** Why a request did not leave, where it is not that nobody answers; undefined where it may be that. */
export function obstacleOf(error: unknown, context: ObstacleContext): Failure | undefined {
  const code = codeOf(error);
  const obstacle = code && OBSTACLES.find(({ codes }) => codes.includes(code));
  return code && obstacle ? failureBy(obstacle, code, error, context) : undefined;
}

/** Errors of a file that its operator mends: it is not where it should be, or not for us. */
const WRONG_FILE: ReadonlySet<string> = new Set("ENOENT EACCES EPERM ENOTDIR EISDIR ELOOP ENAMETOOLONG".split(" "));

/**
 * Why one of our own secrets cannot be read, where that is no fault of the secret: the machine fails to read it.
 *
 * @param error what a {@link GiveSecret} threw.
 */
export function unreadableSecret(error: unknown, context: ObstacleContext): Failure | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = codeOf(cause);
  if (code === undefined || WRONG_FILE.has(code)) return undefined;
  if (isExhausted(code)) return failureBy(EXHAUSTED, code, error, context);
  const { place, who, metadata } = context;
  const sentence = `${place}: ${who} cannot be read at the moment (${code}), which is a fault of the machine that restartd runs on; nothing was sent, and nobody has refused it`;
  return new Failure("INTERNAL", sentence, { metadata, cause: error });
}

function failureBy(
  { reason, says, retryMs }: Obstacle,
  code: string,
  cause: unknown,
  context: ObstacleContext,
): Failure {
  const { place, who, metadata } = context;
  const details: Detail[] = retryMs === undefined ? [] : [retryInfo(retryMs)];
  return new Failure(reason, `${place}: ${says(who, code)}`, { metadata, details, cause });
}

/** The code of a system error; undefined where there is none. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
