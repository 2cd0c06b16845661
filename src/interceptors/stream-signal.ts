import type { Interceptor, StreamRequest } from "@connectrpc/connect";
import { follow } from "./abort.ts";
import { finallyDo } from "./finally.ts";

/**
 * Runs a stream under a signal of its own, which its request's fires too.
 *
 * @param link makes something else fire it, and answers how to stop that: it is stopped when the stream has ended, however it ends.
 */
export async function withOwnSignal(
  next: Parameters<Interceptor>[0],
  req: StreamRequest,
  link: (controller: AbortController) => () => void,
): ReturnType<Parameters<Interceptor>[0]> {
  const controller = new AbortController();
  const links = [follow(controller, req.signal), link(controller)];
  const unlink = (): void => {
    for (const end of links) end();
  };
  try {
    const res = await next({ ...req, signal: controller.signal });
    if (res.stream) return { ...res, message: finallyDo(res.message, unlink) };
    unlink();
    return res;
  } catch (error) {
    unlink();
    throw error;
  }
}
