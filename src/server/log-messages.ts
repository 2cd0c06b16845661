/**
 * What lines of the log say: a closed list, the same as in docs/operations/log.schema.json. What others say (a system, PostgreSQL,
 * OpenSSL) stands in the field `detail`.
 */
export const MESSAGES = [
  "call",
  "late end",
  "ready",
  "shutting down",
  "shutting down took too long: calls were cut off",
  "cannot start",
  "a defect: please report it",
  "the configuration has something that is likely a mistake",
  "something is wrong with who may do what",
  "a system is not as it should be",
  "the store has something to complain about",
  "the store cannot be used: nothing is sent until it can",
  "the store can be used again",
  "work on operations failed; it is tried again",
  "the certificate of before is served on",
  "the certificate ends soon",
  "a new certificate is served",
  "clients are judged by new authorities",
  "too many connections: new ones are refused; raise the limit of open files, or add replicas",
  "traces cannot be delivered: they are dropped",
  "traces are delivered again",
  "probes or metrics could not be answered",
  "a warning of Node or a library",
  "stdout cannot be written",
  "the log could not be written: lines were dropped",
  "listener",
  "connection",
  "tls handshake",
  "http/2 session",
  "http/2 client vanished",
  "response",
] as const;

/** One of {@link MESSAGES}. */
export type Message = (typeof MESSAGES)[number];
