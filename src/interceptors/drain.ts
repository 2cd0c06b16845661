import type { Interceptor } from "@connectrpc/connect";
import { onAbort } from "../core/on-abort.ts";
import { withOwnSignal } from "./stream-signal.ts";

/**
 * Tells streams that the server is shutting down: their signal fires for the reason of `shutdown`. Unary calls finish.
 *
 * @param shutdown aborted with a {@link Failure} when draining begins.
 */
export const drain =
  (shutdown: AbortSignal): Interceptor =>
  (next) =>
    async function drain(req) {
      if (!req.stream) {
        return next(req);
      }
      return withOwnSignal(next, req, (controller) => {
        const end = (): void => controller.abort(shutdown.reason);
        if (shutdown.aborted) end();
        return onAbort(shutdown, end);
      });
    };
