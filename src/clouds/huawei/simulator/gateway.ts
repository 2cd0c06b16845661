import type { VendorReply, VendorRequest } from "../../simulator/exchange.ts";
import { startVendorServer, type VendorServer, type VendorServerOptions } from "../../simulator/server.ts";
import type { HuaweiService } from "../config.ts";
import { type Account, createAccount } from "./account.ts";
import { withDate } from "./iam.ts";
import { backendTimeout, newRequestId, noSuchApi, throttled } from "./replies.ts";
import { verify } from "./verify.ts";

/**
 * Answers what a service behind the gateway answers, to requests that the gateway has let in: paths begin with its version, and the
 * project in them may be any. Undefined stands for a path, or a method of it, that the gateway does not know.
 */
export type HuaweiHandler = (request: VendorRequest) => VendorReply | undefined | Promise<VendorReply | undefined>;

/** How a service is started. */
export interface HuaweiServerOptions extends Pick<VendorServerOptions, "tls"> {
  /** Which service; its name is for errors of the simulator alone. */
  readonly service: HuaweiService;
  readonly handle: HuaweiHandler;
  /** Who may ask. Several services can share one. Default the sandbox's. */
  readonly account?: Account;
}

/** A service at work, behind its gateway. */
export interface HuaweiServer extends VendorServer {
  readonly service: HuaweiService;
  /** Who may ask; it may be changed while the server runs. */
  readonly account: Account;
}

/** Starts a service behind a gateway on loopback, which is as strict about signatures and tokens as the vendor's. */
export async function startHuaweiService(options: HuaweiServerOptions): Promise<HuaweiServer> {
  const { service, handle, account = createAccount(), tls } = options;
  const answer = async (request: VendorRequest): Promise<VendorReply> => {
    const refused = verify(request, account);
    const reply = refused ?? (await handle(request));
    if (refused !== undefined || reply === undefined) request.executed = false; // it did not come to the service
    const { headers, ...rest } = reply ?? noSuchApi();
    return withDate({ ...rest, headers: { "x-request-id": newRequestId(), ...headers } }, account);
  };
  const server = await startVendorServer(answer, {
    chaosReplies: { serverError: backendTimeout(), throttled: throttled({ "retry-after": "1" }) },
    ...(tls !== undefined && { tls }),
  });
  return Object.assign(server, { service, account });
}
