import pg from "pg";
import { StoreRefused } from "../store.ts";

/** What `pg` says where the server answers that it has no TLS. */
const NO_TLS = "The server does not support SSL connections";

/** What Node says of a certificate that nobody whom we trust has issued. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "CERT_SIGNATURE_FAILURE",
  "CERT_UNTRUSTED",
]);

/** What is said of a certificate, by the code of Node's error: https://nodejs.org/api/tls.html#x509-certificate-error-codes. */
const CERTIFICATE: Readonly<Record<string, string>> = {
  ERR_TLS_CERT_ALTNAME_INVALID:
    "is for another name: let the store's address name the host as its certificate does, or give the server a certificate for that name",
  CERT_HAS_EXPIRED: "has expired: give the server a new one (ssl_cert_file) and have it reload",
  CERT_NOT_YET_VALID: "is not valid yet: look at the clocks of both machines",
};

/** invalid_authorization_specification and invalid_password: pg_hba.conf lets nobody in, or not with this password. */
const [NOT_LET_IN, WRONG_PASSWORD] = ["28000", "28P01"];

/**
 * What went wrong while a connection was made, with what to do about it; what else went wrong is answered as it is. Neither PostgreSQL's
 * words nor Node's have a password in them.
 */
export function explain(error: unknown): unknown {
  if (error instanceof StoreRefused || !(error instanceof Error)) return error;
  const code = "code" in error ? String(error.code) : "";
  // OpenSSL's message has places in its source around its reason.
  const words = "reason" in error && typeof error.reason === "string" ? error.reason : error.message;
  const advice = adviceFor(error, words || code || error.name, code);
  return advice === undefined ? error : new StoreRefused(advice, { cause: error });
}

function adviceFor(error: Error, words: string, code: string): string | undefined {
  if (error instanceof pg.DatabaseError) {
    if (code === NOT_LET_IN) {
      return `PostgreSQL does not let restartd in (${words}): add its role, database and host to pg_hba.conf; where that says hostssl, the store's address needs sslmode=verify-full, and for clientcert sslcert and sslkey as well.`;
    }
    return code === WRONG_PASSWORD
      ? `PostgreSQL does not let restartd in (${words}): make sure that the store's address has its role's password, with special characters percent-encoded.`
      : undefined;
  }
  if (error.message === NO_TLS) {
    return `PostgreSQL speaks no TLS, and the store's address asks for it (${words}): set ssl=on and a certificate in postgresql.conf, or, where nobody can listen in between, sslmode=disable in the address.`;
  }
  if (UNTRUSTED.has(code)) {
    return `PostgreSQL's certificate is from an authority that restartd does not trust (${code}): let sslrootcert in the store's address name a file with the authority's certificate.`;
  }
  const wrong = CERTIFICATE[code];
  if (wrong !== undefined) return `PostgreSQL's certificate ${wrong} (${words}).`;
  if (/^ERR_(SSL|OSSL|TLS|CRYPTO)_|^EPROTO$/.test(code)) {
    return `TLS with PostgreSQL fails (${words}): make sure that both ends share a version of TLS, and that sslcert and sslkey in the store's address are what the server asks for.`;
  }
  if (isUnreachable(error)) {
    return `PostgreSQL cannot be reached (${words}): make sure that it runs, and that the store's address names it.`;
  }
  return undefined;
}

/** Whether nobody answered: an error of the system's, or what `pg` says of a connection that took too long, or ended. */
const isUnreachable = (error: Error): boolean =>
  error instanceof AggregateError || "syscall" in error || /timeout|timed out|terminated/i.test(error.message);
