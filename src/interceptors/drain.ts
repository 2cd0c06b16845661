import type { Interceptor } from "@connectrpc/connect";
import { follow } from "./abort.ts";
import { finallyDo } from "./finally.ts";

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
      const controller = new AbortController();
      const links = [follow(controller, req.signal), follow(controller, shutdown)];
      const unlink = (): void => {
        for (const end of links) {
          end();
        }
      };
      try {
        const res = await next({ ...req, signal: controller.signal });
        if (res.stream) {
          return { ...res, message: finallyDo(res.message, unlink) };
        }
        unlink();
        return res;
      } catch (error) {
        unlink();
        throw error;
      }
    };
