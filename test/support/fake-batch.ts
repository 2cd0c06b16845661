import { create } from "@bufbuild/protobuf";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import {
  InstanceService,
  type RestartInstancesRequest,
  type RestartInstancesRequestSchema,
  RestartInstancesResponseSchema,
} from "../../gen/restart/dcs/v1/instance_service_pb.ts";
import { Failure } from "../../src/core/errors.ts";
import type { BatchAction, PrepareContext } from "../../src/core/operation.ts";
import { statusOf } from "../../src/core/status.ts";
import { outcomeOfAll } from "../../src/operations/calls/send-all.ts";
import { createActionOf, type FakeActionOptions } from "./fake-action.ts";

/** Restarts of several targets by one call. */
export type FakeBatch = BatchAction<
  typeof RestartInstancesRequestSchema,
  typeof RestartInstancesResponseSchema,
  string
>;

/** What a {@link createFakeBatch} can be told beside what its items are. */
export interface FakeBatchOptions extends FakeActionOptions {
  /** Why an item fails its guard; undefined: it does not. What it throws refuses the whole call. */
  readonly guard?: (id: string, asking: PrepareContext) => Failure | undefined;
}

const targetOf = ({ instanceIds: [id = "none"] }: RestartInstancesRequest): string => `fake/${id}`;

/** Restarts instances, each of them with a {@link FakeVendor}. */
export function createFakeBatch(options: FakeBatchOptions): FakeBatch {
  const { guard = () => undefined } = options;
  const method = InstanceService.method.restartInstances;
  return {
    method,
    item: createActionOf(options, {
      method,
      targetOf,
      answer: ({ instanceIds }) =>
        create(RestartInstancesResponseSchema, {
          results: instanceIds.map((instanceId) => ({ instanceId, result: "success" })),
        }),
    }),
    targetOf: ({ projectId }) => `projects/${projectId}`,
    verbs: ["restart"],
    actionOf: () => "restart",
    itemsOf: (request) => request.instanceIds.map((id) => ({ ...request, instanceIds: [id] })),
    async prepareAll(_request, items, asking) {
      await options.prepare?.(asking);
      return items.map((item) => guard(item.instanceIds[0] ?? "", asking) ?? targetOf(item));
    },
    combine(_request, results) {
      const failures = results.flatMap(({ failure }) => failure ?? []);
      const [first] = failures;
      if (first !== undefined && failures.length === results.length) {
        throw new Failure(
          failures.every(({ reason }) => reason === first.reason) ? first.reason : "VENDOR_REPORTED_FAILED",
          `all ${failures.length} failed`,
          {
            outcome: outcomeOfAll(failures.map(({ outcome }) => outcome)),
            details: failures.map((failure) => ({ desc: StatusSchema, value: statusOf(failure) })),
          },
        );
      }
      return create(RestartInstancesResponseSchema, {
        results: results.map(({ request, operation, failure }) => ({
          instanceId: request.instanceIds[0] ?? "",
          operation,
          result: failure === undefined ? "success" : "failed",
          ...(failure && { error: statusOf(failure) }),
        })),
      });
    },
  };
}
