/**
 * The conformance suite's own messages. Their schema comes out of the suite's Go module when its runner is built, so that nothing of it
 * is copied here; the types below name the fields that are used.
 */
import { createFileRegistry, type DescMessage, type FileRegistry, fromBinary, type Message } from "@bufbuild/protobuf";
import { type Any, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const PACKAGE = "connectrpc.conformance.v1";

/** Name and values of a header or a trailer. */
export interface Header {
  readonly name: string;
  readonly value: readonly string[];
}

/** An error that a call shall end with. */
export interface ErrorDefinition {
  readonly code: number;
  readonly message?: string;
  readonly details: readonly Any[];
}

/** What is common to the definitions of answers. */
export interface Definition {
  readonly responseHeaders: readonly Header[];
  readonly responseTrailers: readonly Header[];
  readonly responseDelayMs: number;
}

/** How a call with one answer shall end. */
export interface UnaryDefinition extends Definition {
  readonly response:
    | { readonly case: "responseData"; readonly value: Uint8Array }
    | { readonly case: "error"; readonly value: ErrorDefinition }
    | { readonly case: undefined };
}

/** How a call with several answers shall end. */
export interface StreamDefinition extends Definition {
  readonly responseData: readonly Uint8Array[];
  readonly error?: ErrorDefinition;
}

/** A request of a rpc with one answer. */
export type UnaryRequest = Message & { readonly responseDefinition?: UnaryDefinition };

/** A request of a rpc with several answers. */
export type StreamRequest = Message & { readonly responseDefinition?: StreamDefinition; readonly fullDuplex?: boolean };

/** What the runner wants of a server. */
export type ServerCompatRequest = Message & {
  readonly useTls: boolean;
  readonly messageReceiveLimit: number;
  readonly serverCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
};

/** Reads the suite's schema, as `buf build` writes it. */
export const readSchema = (bytes: Uint8Array): FileRegistry =>
  createFileRegistry(fromBinary(FileDescriptorSetSchema, bytes));

/** A message of the suite by its short name. */
export function messageIn(registry: FileRegistry, name: string): DescMessage {
  const desc = registry.getMessage(`${PACKAGE}.${name}`);
  if (desc === undefined) throw new Error(`the suite has no message ${name} any longer`);
  return desc;
}

/** The service that the suite calls. */
export function serviceIn(registry: FileRegistry) {
  const desc = registry.getService(`${PACKAGE}.ConformanceService`);
  if (desc === undefined) throw new Error("the suite has no ConformanceService any longer");
  return desc;
}
