import type { HandlerContext } from "@connectrpc/connect";
import { authorizerKey, loaded, type MethodAccess } from "../../core/access.ts";
import { isPermitted, requirePermission } from "../../core/authorize.ts";
import { type Authorization, callKey } from "../../core/call.ts";
import { principalKey } from "../../core/principal.ts";
import { notFound } from "../records/find.ts";
import { guarded } from "../records/unavailable.ts";
import type { OperationRecord } from "../store/record.ts";
import type { ListQuery, Store } from "../store/store.ts";

/** The permission to see operations. */
const GET = "operations.get";

/** The permissions to do something to an operation that one sees. */
export type OperationPermission = "operations.cancel" | "operations.delete" | "operations.resolve";

/** Who may call google.longrunning.Operations: each method judges when it has read the operation, by what that is about. */
export const OPERATIONS_ACCESS = {
  getOperation: loaded(GET),
  listOperations: loaded(GET),
  waitOperation: loaded(GET),
  cancelOperation: loaded("operations.cancel"),
  deleteOperation: loaded("operations.delete"),
} as const satisfies Record<string, MethodAccess>;

type Context = Pick<HandlerContext, "values">;

const isOwn = ({ principal }: Pick<OperationRecord, "principal">, { values }: Context): boolean =>
  principal === values.get(principalKey).id;

const isVisible = (record: OperationRecord, context: Context): boolean =>
  isOwn(record, context) || isPermitted(context, GET, record.target);

/**
 * Requires that the caller may see an operation. One that it may not see is not there for it: names can be guessed, so that another
 * answer would tell.
 *
 * @throws Failure OPERATION_NOT_FOUND
 */
export function requireVisible(record: OperationRecord, context: Context): void {
  const visible = isVisible(record, context);
  tell(visible ? "allow" : "default-deny", context);
  if (!visible) throw notFound(record.name);
}

/** Has the log say what was decided of seeing operations, where anybody is asked who they are. */
function tell(decision: Authorization["decision"], { values }: Context): void {
  if (values.get(principalKey).authenticator === "") return;
  values.get(callKey).authorization = { permission: GET, decision, rule: undefined, groups: [], targets: [] };
}

/**
 * Requires that the caller may do something to an operation that it sees.
 *
 * @throws Failure PERMISSION_DENIED
 */
export function requireMay(permission: OperationPermission, record: OperationRecord, context: Context): void {
  // Whoever began something may also stop it; what ends the memory of it, or says what became of it, takes a right.
  if (permission === "operations.cancel" && isOwn(record, context)) return;
  requirePermission(context, permission, [record.target]);
}

/** At most so many operations are looked at for a page. */
const MAX_LOOKED_AT = 2_000;

/** A page of the operations that the caller may see, and where the next one begins; undefined at the end. */
export async function listVisible(
  store: Store,
  { limit, ...query }: ListQuery,
  context: Context,
): Promise<{ page: OperationRecord[]; next: NonNullable<ListQuery["after"]> | undefined }> {
  tell("allow", context); // what it may not see is left out
  const all = context.values.get(authorizerKey).mayAlways(context.values.get(principalKey), GET);
  const page: OperationRecord[] = [];
  let after = query.after;
  for (let looked = 0; ; ) {
    const wanted = all ? limit - page.length : Math.min(Math.max(limit, 100), MAX_LOOKED_AT - looked);
    const records = await guarded(store.list({ ...query, limit: wanted + 1, ...(after && { after }) }));
    for (const [index, record] of records.slice(0, wanted).entries()) {
      looked++;
      after = record;
      if (all || isVisible(record, context)) page.push(record);
      if (page.length === limit || looked === MAX_LOOKED_AT) {
        return { page, next: index + 1 < records.length ? after : undefined };
      }
    }
    if (records.length <= wanted) return { page, next: undefined };
  }
}
