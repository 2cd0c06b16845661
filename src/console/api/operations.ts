import { anyIs, anyUnpack } from "@bufbuild/protobuf/wkt";
import { createClient } from "@connectrpc/connect";
import { type Operation, Operations } from "../../../gen/google/longrunning/operations_pb.ts";
import {
  type RestartMetadata,
  RestartMetadata_Outcome,
  RestartMetadata_State,
  RestartMetadataSchema,
} from "../../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../../gen/restart/operation/v1/operation_service_pb.ts";
import { transport } from "./transport.ts";

/** `google.longrunning.Operations`. */
export const operations = createClient(Operations, transport);

/** `restart.operation.v1.OperationService`. */
export const operationService = createClient(OperationService, transport);

/** What is known of an operation; undefined when it is another service's. */
export function metadataOf({ metadata }: Operation): RestartMetadata | undefined {
  return metadata && anyIs(metadata, RestartMetadataSchema) ? anyUnpack(metadata, RestartMetadataSchema) : undefined;
}

/** An enum's value by its name: SENT. One that a newer server has is its number. */
const nameIn = (values: Readonly<Record<string, number>>, value: number | undefined): string =>
  Object.entries(values).find(([, number]) => number === value)?.[0] ?? String(value);

/** Where an operation stands: SENT, without STATE_. */
export const stateOf = (metadata: RestartMetadata | undefined): string =>
  nameIn(RestartMetadata_State, metadata?.state);

/** Whether it changed anything: APPLIED, without OUTCOME_. */
export const outcomeOf = (metadata: RestartMetadata | undefined): string =>
  nameIn(RestartMetadata_Outcome, metadata?.outcome);

/** One page of operations, newest first. */
export interface OperationsPage {
  readonly operations: readonly Operation[];
  readonly nextPageToken: string;
}

/** Lists operations. */
export function listOperations(
  { filter, pageSize, pageToken = "" }: { filter: string; pageSize: number; pageToken?: string },
  signal: AbortSignal,
): Promise<OperationsPage> {
  return operations.listOperations({ filter, pageSize, pageToken }, { signal });
}

/** A text as a filter has it. */
export const quote = (text: string): string => `"${text.replaceAll(/["\\*]/g, "\\$&")}"`;
