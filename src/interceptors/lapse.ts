import type { Interceptor } from "@connectrpc/connect";
import { lapsedKey } from "../core/principal.ts";
import { follow } from "./abort.ts";
import { finallyDo } from "./finally.ts";

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
      const controller = new AbortController();
      const unlink = follow(controller, req.signal);
      const timer = setInterval(() => {
        const failure = lapsed();
        if (failure !== undefined) controller.abort(failure);
      }, lookEveryMs);
      const end = (): void => {
        clearInterval(timer);
        unlink();
      };
      try {
        const res = await next({ ...req, signal: controller.signal });
        if (res.stream) {
          return { ...res, message: finallyDo(res.message, end) };
        }
        end();
        return res;
      } catch (error) {
        end();
        throw error;
      }
    };
