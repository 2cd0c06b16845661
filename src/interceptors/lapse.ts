import type { Failure } from "../core/errors.ts";
import { lapsedKey } from "../core/principal.ts";
import type { EndsStream } from "./deadline.ts";

/** How often (ms) it is looked whether the credential of a stream still holds. */
const LOOK_EVERY_MS = 1_000;

/** Ends a stream when the credential that began it has ended, or was taken away. Unary calls finish: they are short. */
export const lapse: EndsStream = ({ contextValues }, end) => {
  const lapsed = contextValues.get(lapsedKey);
  return lapsed && endOnceLapsed(lapsed, end);
};

function endOnceLapsed(lapsed: () => Failure | undefined, end: (reason: Failure) => void): () => void {
  const timer = setInterval(() => {
    const failure = lapsed();
    if (failure !== undefined) end(failure);
  }, LOOK_EVERY_MS);
  return () => clearInterval(timer);
}
