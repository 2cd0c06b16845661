import type { Interceptor } from "@connectrpc/connect";
import { lapsedKey } from "../core/principal.ts";
import { withOwnSignal } from "./stream-signal.ts";

/** How often (ms) it is looked whether the credential of a stream still holds. */
const LOOK_EVERY_MS = 1_000;

/** Ends a stream when the credential that began it has ended, or was taken away. Unary calls finish: they are short. */
export const lapse =
  (lookEveryMs = LOOK_EVERY_MS): Interceptor =>
  (next) =>
    async function lapse(req) {
      const lapsed = req.contextValues.get(lapsedKey);
      if (!req.stream || lapsed === undefined) {
        return next(req);
      }
      return withOwnSignal(next, req, (controller) => {
        const timer = setInterval(() => {
          const failure = lapsed();
          if (failure !== undefined) controller.abort(failure);
        }, lookEveryMs);
        return () => clearInterval(timer);
      });
    };
