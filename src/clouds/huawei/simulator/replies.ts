import { randomBytes } from "node:crypto";
import { jsonReply, type VendorReply } from "../../simulator/exchange.ts";

/** An error of the API gateway. Default code style APIGW; dedicated and older gateways say APIG. */
export function gatewayError(
  status: number,
  code: string,
  message: string,
  style: "APIGW" | "APIG" = "APIGW",
): VendorReply {
  const id = newRequestId();
  const body = { error_msg: message, error_code: `${style}.${code}`, request_id: id };
  return jsonReply(status, body, { "x-request-id": id });
}

/** Refuses who is asking, in the gateway's words. */
export const notAuthenticated = (why: string): VendorReply =>
  gatewayError(401, "0301", `Incorrect IAM authentication information: ${why}`);

/** There is no such path, or not by this method. */
export const noSuchApi = (): VendorReply =>
  gatewayError(404, "0101", "The API does not exist or has not been published in the environment.");

/** Too many requests. */
export const throttled = (headers: Readonly<Record<string, string>> = {}): VendorReply => {
  const reply = gatewayError(
    429,
    "0308",
    "The throttling threshold has been reached: policy user over ratelimit,limit:60,time:1 minute",
  );
  return { ...reply, headers: { ...reply.headers, ...headers } };
};

/** The service did not answer the gateway in time: it may or may not have done what it was asked. */
export const backendTimeout = (): VendorReply => gatewayError(504, "0201", "Backend timeout.");

/** An error of IAM, as Keystone says it. */
export const keystoneError = (code: number, title: string, message: string): VendorReply =>
  jsonReply(code, { error: { message, code, title } }, { "x-request-id": newRequestId() });

/** An id such as the gateway gives to every request. */
export const newRequestId = (): string => randomBytes(16).toString("hex");
