/** Aborts `controller` when `signal` is aborted, for the same reason. Returns what ends the link. */
export function follow(controller: AbortController, signal: AbortSignal): () => void {
  const onAbort = (): void => controller.abort(signal.reason);
  if (signal.aborted) {
    onAbort();
    return () => {};
  }
  signal.addEventListener("abort", onAbort, { once: true });
  return () => signal.removeEventListener("abort", onAbort);
}

/** What {@link orAbort} does when the signal fires. */
export interface AbortOptions {
  /** How many milliseconds the work has, once the signal has fired, to end by itself and say how. */
  readonly graceMs: number;
  /** Told of work that did not end in time. It goes on; its result is lost to the caller. */
  readonly abandoned: (work: Promise<unknown>) => void;
}

/** The result of `work`, or the reason of `signal`: whoever is deaf to the signal is not waited for. */
export async function orAbort<T>(work: Promise<T>, signal: AbortSignal, options: AbortOptions): Promise<T> {
  const gaveUp = Promise.withResolvers<never>();
  let timer: NodeJS.Timeout | undefined;
  const onAbort = (): void => {
    timer = setTimeout(() => {
      options.abandoned(work);
      gaveUp.reject(signal.reason);
    }, options.graceMs);
  };
  if (signal.aborted) {
    onAbort();
  } else {
    signal.addEventListener("abort", onAbort, { once: true });
  }
  try {
    return await Promise.race([work, gaveUp.promise]);
  } catch (error) {
    // What Node's own functions throw says only that they were aborted, not why.
    throw signal.aborted && error instanceof Error && error.name === "AbortError" ? signal.reason : error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
