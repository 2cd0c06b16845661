import { Failure, retryInfo } from "../../core/errors.ts";

/** After so many milliseconds the store may be back. */
const RETRY_AFTER_MS = 1_000;

/** The failure of whoever needed the store and could not use it; nothing was sent. The database's own words are for the log alone. */
export const storeUnavailable = (cause: unknown): Failure =>
  new Failure("STORE_UNAVAILABLE", "operations cannot be stored or read now, and without that nothing is sent", {
    details: [retryInfo(RETRY_AFTER_MS)],
    cause,
  });

/** The result of work on the store; what goes wrong there is {@link storeUnavailable}. */
export async function guarded<Result>(work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof Failure ? error : storeUnavailable(error);
  }
}
