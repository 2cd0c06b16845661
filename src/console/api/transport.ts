import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-web";
import { setClock } from "../browser.ts";
import { ROOT } from "../router.ts";
import { getToken } from "./session.ts";

/** The one place where credentials are added. */
const bearer: Interceptor = (next) => async (request) => {
  const token = await getToken();
  if (token !== undefined) request.header.set("authorization", `Bearer ${token}`);
  return next(request);
};

const clock: Interceptor = (next) => async (request) => {
  const response = await next(request);
  setClock(response.header.get("date"));
  return response;
};

/** Told of every call that is refused for want of credentials. */
let onUnauthenticated: () => void = () => {};

/** Sets what happens when a call is refused for want of credentials. */
export function setUnauthenticated(listener: () => void): void {
  onUnauthenticated = listener;
}

const login: Interceptor = (next) => async (request) => {
  try {
    return await next(request);
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.Unauthenticated) onUnauthenticated();
    throw error;
  }
};

/** To the server that the page came from. Binary: a message that this page does not know must not make its answer unreadable. */
export const transport = createConnectTransport({
  baseUrl: location.origin,
  useBinaryFormat: true,
  useHttpGet: true,
  interceptors: [login, bearer, clock],
});

/** The page where one logs in, which leads back to here. */
export const loginUrl = (): string => `${ROOT}login?return=${encodeURIComponent(location.pathname + location.search)}`;
