import { type ContextKey, type ContextValues, createContextKey } from "@connectrpc/connect";

/** When a call must be over, on the clock of `performance.now()`, in milliseconds. Undefined: nobody has said yet. */
export const deadlineKey: ContextKey<number | undefined> = createContextKey<number | undefined>(undefined, {
  description: "deadline",
});

/**
 * How many milliseconds a call still has: less than zero when it has none left, Infinity when it has no deadline. Handlers ask
 * this and not connect's `timeoutMs()`, which knows neither default nor maximum.
 */
export const remainingMs = (values: ContextValues): number =>
  (values.get(deadlineKey) ?? Number.POSITIVE_INFINITY) - performance.now();
