import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { isReflectList, isReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import {
  Code,
  ConnectError,
  type ContextValues,
  type Interceptor,
  type StreamRequest,
  type UnaryRequest,
} from "@connectrpc/connect";
import {
  accessKey,
  authorizerKey,
  EVERYTHING_ALLOWED,
  type MethodAccess,
  takeMutationKey,
  targetsOf,
} from "../core/access.ts";
import { isPermitted, requirePermission, requireReason } from "../core/authorize.ts";
import { isMutating } from "../core/route.ts";

/**
 * Judges whether a call may be made: by what its method's schema says that it is about. A method that judges by itself is left to it,
 * and of a list of systems the answer has those alone that the caller may see.
 */
export const authorize = (): Interceptor => (next) =>
  async function authorize(req) {
    const { contextValues: values, method } = req;
    if (values.get(authorizerKey) === EVERYTHING_ALLOWED) {
      takeShare(req);
      return next(req);
    }
    const access = values.get(accessKey);
    if (access === undefined) {
      throw new ConnectError(`nothing says who may call ${method}`, Code.Internal);
    }
    if (req.stream) {
      return next({ ...req, message: authorizeEach(req.message, access, method, values) });
    }
    authorizeMessage(req.message, access, method, values);
    takeShare(req);
    const res = await next(req);
    return res.stream || access.kind !== "each"
      ? res
      : { ...res, message: visible(res.message, access, method.output, values) };
  };

/** Takes what changes something of its caller's share, once it may be done: what was refused costs nothing. */
function takeShare({ method, contextValues }: UnaryRequest | StreamRequest): void {
  if (isMutating(method)) contextValues.get(takeMutationKey)();
}

async function* authorizeEach<T extends Message>(
  messages: AsyncIterable<T>,
  access: MethodAccess,
  method: DescMethod,
  values: ContextValues,
): AsyncGenerator<T> {
  for await (const message of messages) {
    authorizeMessage(message, access, method, values);
    yield message;
  }
}

function authorizeMessage(message: Message, access: MethodAccess, { input }: DescMethod, values: ContextValues): void {
  if (access.kind !== "target" && access.kind !== "parent") return;
  const targets = targetsOf(access, message, input);
  requirePermission({ values }, access.permission, targets, { message, desc: input });
  const reason = input.fields.find(({ name }) => name === "reason");
  if (reason !== undefined) {
    requireReason({ values }, access.permission, targets, String(reflect(input, message).get(reason)));
  }
}

/** An answer without the items that the caller may not see: those of its one list of messages. */
function visible<T extends Message>(answer: T, access: MethodAccess, desc: DescMessage, values: ContextValues): T {
  const reflected = reflect(desc, answer);
  for (const field of desc.fields) {
    const list = field.fieldKind === "list" && field.listKind === "message" ? reflected.get(field) : undefined;
    if (!isReflectList(list)) continue;
    const kept = [...list].filter(
      (item) =>
        isReflectMessage(item) &&
        targetsOf(access, item.message, item.desc).every((target) =>
          isPermitted({ values }, access.permission, target),
        ),
    );
    list.clear();
    for (const item of kept) list.add(item);
  }
  return answer;
}
