import { badRequest, excerpt, Failure, resourceInfo } from "../../core/errors.ts";
import type { OperationRecord } from "../store/record.ts";
import type { Store } from "../store/store.ts";
import { guarded } from "./unavailable.ts";

/** Type of an operation in `google.rpc.ResourceInfo`. */
export const OPERATION_TYPE = "restartd.operation";

const NAME = /^operations\/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/**
 * Reads an operation by the name that a caller gave.
 *
 * @throws Failure INVALID_ARGUMENT, OPERATION_NOT_FOUND, STORE_UNAVAILABLE
 */
export async function findOperation(store: Store, name: string): Promise<OperationRecord> {
  if (!NAME.test(name)) {
    const description = `must be operations/{UUID in lower case}: got ${JSON.stringify(excerpt(name, 100))}`;
    throw new Failure("INVALID_ARGUMENT", `name ${description}`, {
      details: [badRequest([{ field: "name", description, reason: "INVALID_NAME" }])],
    });
  }
  const record = await guarded(store.get(name));
  if (record === undefined) {
    throw notFound(name);
  }
  return record;
}

/** There is no such operation. */
export const notFound = (name: string): Failure =>
  new Failure(
    "OPERATION_NOT_FOUND",
    `there is no ${name}: it never was, or it was deleted after its end; ListOperations names those that are`,
    { details: [resourceInfo(OPERATION_TYPE, name)] },
  );
