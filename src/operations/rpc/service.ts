import { create } from "@bufbuild/protobuf";
import { type Duration, durationMs, EmptySchema } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type ListOperationsRequest,
  ListOperationsResponseSchema,
  type Operation,
  Operations,
} from "../../../gen/google/longrunning/operations_pb.ts";
import { RestartMetadata_Outcome } from "../../../gen/restart/operation/v1/operation_pb.ts";
import { OperationService } from "../../../gen/restart/operation/v1/operation_service_pb.ts";
import { callKey } from "../../core/call.ts";
import { remainingMs } from "../../core/deadline.ts";
import { badRequest, excerpt, Failure } from "../../core/errors.ts";
import { identityIn } from "../../core/identity.ts";
import { principalKey } from "../../core/principal.ts";
import { publishedRoute, type Route, route } from "../../core/route.ts";
import { findOperation } from "../records/find.ts";
import { guarded } from "../records/unavailable.ts";
import { createWaiter, type Waiter } from "../records/wait.ts";
import { ENDED, type OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";
import { type BackupOptions, createBackup } from "./backup.ts";
import { parseFilter } from "./filter.ts";
import { type Actor, cancelOperation, deleteOperation, resolveOperation } from "./mutations.ts";
import { createPageTokens, type PageTokens, pageSizeOf } from "./page-token.ts";
import { type MethodOf, presentOperation } from "./present.ts";
import { listVisible, OPERATIONS_ACCESS, type OperationPermission, requireMay, requireVisible } from "./visible.ts";

/** What the services of operations work with. */
export interface OperationRoutesOptions {
  readonly store: Store;
  /** The wall clock. */
  readonly now: () => Date;
  /** Finds the rpc of an operation, whose output is what the operation answers. */
  readonly output: MethodOf;
  /** Brings an operation with children to where they are, after an operator's word on one of them. Default: none has children. */
  readonly rollUp?: (name: string) => Promise<void>;
  /** Aborted when the server begins to drain: whoever waits for an operation then gets it as it is. Default: never. */
  readonly shutdown?: AbortSignal;
  /** Where copies of the store are made. */
  readonly backup?: BackupOptions;
}

/** Longer (ms) no call waits for an operation: proxies cut what is silent for a minute. */
const MAX_WAIT_MS = 50_000;

/** So long (ms), or a quarter of what is left, before its deadline a waiting call is answered. */
const MARGIN_MS = 500;

/** `google.longrunning.Operations` and `restart.operation.v1.OperationService`. */
export function createOperationRoutes(options: OperationRoutesOptions): Route[] {
  const { store, output, rollUp = async () => {}, backup = {} } = options;
  const waiter = createWaiter(store);
  const makeBackup = createBackup(store, backup);
  let tokens: PageTokens | undefined;
  /** The store is asked once, for the first page that is not the whole list. */
  const pageTokens = async (): Promise<PageTokens> => {
    tokens ??= createPageTokens((await guarded(store.summary())).id);
    return tokens;
  };
  const actorOf = (context: HandlerContext): Actor => ({
    actor: context.values.get(principalKey).id,
    identity: identityIn(context),
    now: () => options.now().getTime(),
  });
  const present = (record: OperationRecord): Operation => presentOperation(record, output);
  /** The operation of a name, when the caller may see it and do to it what it asks. */
  const find = async (name: string, context: HandlerContext, to?: OperationPermission): Promise<OperationRecord> => {
    context.values.get(callKey).target = excerpt(name, 100);
    const record = await findOperation(store, name);
    requireVisible(record, context);
    if (to !== undefined) requireMay(to, record, context);
    return record;
  };

  const operations: ServiceImpl<typeof Operations> = {
    getOperation: async ({ name }, context) => present(await find(name, context)),
    listOperations: (request, context) => listOperations(store, request, { present, pageTokens }, context),
    async waitOperation({ name, timeout }, context) {
      const limitMs = waitLimit(timeout, context);
      const record = await find(name, context);
      return present(await waitForEnd(record, limitMs, waiter, context.signal, options.shutdown));
    },
    async cancelOperation({ name }, context) {
      await cancelOperation(store, await find(name, context, "operations.cancel"), actorOf(context));
      return create(EmptySchema);
    },
    async deleteOperation({ name }, context) {
      await deleteOperation(store, await find(name, context, "operations.delete"));
      return create(EmptySchema);
    },
  };

  const ours: ServiceImpl<typeof OperationService> = {
    async *watchOperation({ name }, context) {
      let record = await find(name, context);
      for (;;) {
        yield present(record);
        if (ENDED.has(record.state)) {
          return;
        }
        // Looked up only when the reader has taken the one before: a slow one gets the newest.
        record = await waiter.nextChange(record, context.signal);
      }
    },
    async resolveOperation({ name, outcome, note }, context) {
      const record = await find(name, context, "operations.resolve");
      const applied = outcome === RestartMetadata_Outcome.APPLIED;
      const resolved = await resolveOperation(store, record, { ...actorOf(context), applied, note });
      // Every time: the server may have died between the two before.
      await guarded(rollUp(resolved.parent ?? resolved.name));
      return present(await findOperation(store, name));
    },
    backupStore: (_, { signal }) => makeBackup(signal),
  };

  return [publishedRoute(Operations, operations, OPERATIONS_ACCESS), route(OperationService, ours)];
}

async function listOperations(
  store: Store,
  { name, filter, pageSize, pageToken, returnPartialSuccess }: ListOperationsRequest,
  { present, pageTokens }: { present: (record: OperationRecord) => Operation; pageTokens: () => Promise<PageTokens> },
  context: HandlerContext,
) {
  if (name !== "" && name !== "operations") {
    throw badField("name", `must be operations, or empty: got ${JSON.stringify(excerpt(name, 100))}`);
  }
  if (returnPartialSuccess) {
    throw new Failure(
      "UNSUPPORTED_PROTOCOL",
      "return_partial_success is not supported: there is one store; leave it out",
    );
  }
  const where = parseFilter(filter);
  const limit = pageSizeOf(pageSize);
  const after = pageToken === "" ? undefined : (await pageTokens()).read(pageToken, where);
  const { page, next } = await listVisible(store, { where, limit, ...(after && { after }) }, context);
  return create(ListOperationsResponseSchema, {
    operations: page.map(present),
    nextPageToken: next === undefined ? "" : (await pageTokens()).write(next, where),
  });
}

/** How long (ms) a call may wait: as long as it asks, and never up to its deadline. */
function waitLimit(timeout: Duration | undefined, { values }: HandlerContext): number {
  const requested = timeout === undefined ? Number.POSITIVE_INFINITY : durationMs(timeout);
  if (requested < 0) {
    throw badField("timeout", "must not be negative; 0s answers at once, none waits as long as the deadline allows");
  }
  const left = remainingMs(values);
  return Math.floor(Math.min(requested, left - Math.min(MARGIN_MS, left / 4), MAX_WAIT_MS)); // timers take whole ones
}

/** The operation when it has ended, or as it is when the time is over. */
async function waitForEnd(
  first: OperationRecord,
  limitMs: number,
  waiter: Waiter,
  signal: AbortSignal,
  shutdown: AbortSignal | undefined,
): Promise<OperationRecord> {
  if (limitMs <= 0) {
    return first;
  }
  const enough = AbortSignal.any([AbortSignal.timeout(limitMs), ...(shutdown ? [shutdown] : [])]);
  const either = AbortSignal.any([signal, enough]);
  let current = first;
  try {
    while (!ENDED.has(current.state)) {
      current = await waiter.nextChange(current, either);
    }
  } catch (error) {
    signal.throwIfAborted();
    if (error !== enough.reason) {
      throw error;
    }
  }
  return current;
}

const badField = (field: string, description: string): Failure =>
  new Failure("INVALID_ARGUMENT", `${field} ${description}`, {
    details: [badRequest([{ field, description, reason: "INVALID_ARGUMENT" }])],
  });
