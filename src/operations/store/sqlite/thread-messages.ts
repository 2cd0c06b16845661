import type { AuditEvent, OperationRecord } from "../record.ts";
import { StoreDamaged } from "../rows.ts";
import { type Step, type Store, StoreRefused, UncertainCommit } from "../store.ts";

/** What the thread is started with: paths and limits, as `SqliteStoreOptions` means them. */
export interface ThreadOptions {
  /** URL of what it runs. */
  readonly main: string;
  /** The folder in which modules are kept compiled; undefined: nowhere. */
  readonly compiled: string | undefined;
  readonly path: string;
  readonly replica: string;
  readonly maxPages: number | undefined;
  readonly acceptRestore: boolean;
  /** Epoch ms. */
  readonly time: number;
}

/** What the thread does as it is asked to: reads, and writes whose arguments are data. */
export type ThreadMethod =
  | "get"
  | "blocking"
  | "find"
  | "children"
  | "list"
  | "open"
  | "freezes"
  | "changeFreezes"
  | "summary"
  | "audit"
  | "remove"
  | "purge"
  | "beat"
  | "backup";

/** One thing that the thread is asked for. */
export type ThreadRequest = { readonly id: number } & (
  | {
      readonly method: "insert";
      readonly records: readonly OperationRecord[];
      /** One for each record. */
      readonly events: readonly AuditEvent[];
      readonly epoch: number | undefined;
    }
  | {
      readonly method: "changeAll";
      readonly steps: readonly Step[];
      readonly epoch: number | undefined;
    }
  | { readonly method: ThreadMethod; readonly args: readonly unknown[] }
  | { readonly method: "close" }
);

/** Of each step of `changeAll` when (epoch ms) it was made: what it has made is known to whoever asked. Undefined: it was not. */
export type ThreadChanges = readonly (number | undefined)[];

/** Requests that were made in one moment, in order. */
export interface ThreadRequests {
  /** Epoch ms. */
  readonly time: number;
  readonly requests: readonly ThreadRequest[];
}

/** An error on its way between threads, where only data goes. */
export interface ThreadError {
  readonly name: string;
  readonly message: string;
  readonly cause: ThreadError | undefined;
  /** What node:sqlite says of an error. */
  readonly sqlite: { readonly code: unknown; readonly errcode: unknown; readonly errstr: unknown } | undefined;
}

/** What became of one request. */
export type ThreadReply = { readonly id: number } & ({ readonly result: unknown } | { readonly error: ThreadError });

/** What the thread says: first that it is open or cannot be, then what came of requests and what has changed, in order. */
export type ThreadMessage =
  | { readonly kind: "warning"; readonly message: string }
  | { readonly kind: "opened" }
  | { readonly kind: "refused"; readonly error: ThreadError }
  | {
      readonly kind: "news";
      readonly replies: readonly ThreadReply[];
      readonly changed: readonly (string | undefined)[];
    };

/** An error as data. */
export function packError(error: unknown): ThreadError {
  if (!(error instanceof Error)) {
    return { name: "Error", message: String(error), cause: undefined, sqlite: undefined };
  }
  const { name, message, cause } = error;
  const sqlite =
    "errcode" in error
      ? { code: Reflect.get(error, "code"), errcode: error.errcode, errstr: Reflect.get(error, "errstr") }
      : undefined;
  return { name, message, cause: cause === undefined ? undefined : packError(cause), sqlite };
}

const ERRORS: Readonly<Record<string, new (message: string, options?: ErrorOptions) => Error>> = {
  UncertainCommit,
  StoreRefused,
  StoreDamaged,
};

/** The error that was packed: of the same kind, if it is one of the store's. */
export function unpackError({ name, message, cause, sqlite }: ThreadError): Error {
  const error = new (ERRORS[name] ?? Error)(message, cause && { cause: unpackError(cause) });
  return sqlite === undefined ? error : Object.assign(error, sqlite);
}

/** A store, as far as the thread is asked for it by its methods' names. */
export type ThreadStore = Required<Pick<Store, ThreadMethod>>;
