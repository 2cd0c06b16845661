import type { Validator } from "@bufbuild/protovalidate";
import type { Interceptor } from "@connectrpc/connect";
import { authorize } from "./authorize.ts";
import { type DeadlineOptions, deadline } from "./deadline.ts";
import { drain } from "./drain.ts";
import { errors } from "./errors.ts";
import { identifiers } from "./identifiers.ts";
import { lapse } from "./lapse.ts";
import { validate } from "./validate.ts";

/** What the interceptors need. None of them names a service: they read descriptors. */
export interface InterceptorOptions {
  /** Makes the id of a call that no server made one for. */
  readonly newId: () => string;
  /** Aborted with a Failure when the server begins to drain. */
  readonly shutdown: AbortSignal;
  /** How long calls may take. */
  readonly deadline: Omit<DeadlineOptions, "streams">;
  /** Knows the rules of every request. */
  readonly validator: Validator;
}

/** Every interceptor, outermost first. */
export const interceptors = (options: InterceptorOptions): Interceptor[] => [
  errors(options.newId), // outermost: what any other throws, a caller gets in one form
  deadline({ ...options.deadline, streams: [drain(options.shutdown), lapse] }), // outside validation, so that an expired call costs no more
  identifiers, // outside whatever compares ids: rules, permissions, targets
  validate(options.validator), // outside the rules, which then see only fields that keep theirs
  authorize(), // innermost: a handler gets nothing that was not checked, and does nothing that is not allowed
];
