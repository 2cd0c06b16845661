import { htmlReply, jsonReply, type VendorReply } from "../../../clouds/simulator/exchange.ts";

/** How the site writes its errors: as the portal does, or as ArcGIS Server's Administrator API does (contracts: arcgis §A.5). */
export type ErrorShape = "portal" | "server";

/** An error in one of the two documented shapes. HTTP 200, as both have it. */
export function errorReply(shape: ErrorShape, code: number | undefined, message: string, status = 200): VendorReply {
  const coded = code === undefined ? {} : { code };
  return shape === "portal"
    ? jsonReply(status, { error: { ...coded, message, details: [] } })
    : jsonReply(status, { status: "error", messages: [message], ...coded });
}

/** The token is there, and is not accepted: expired, revoked, or given to another referer. */
export const invalidToken = (shape: ErrorShape): VendorReply => errorReply(shape, 498, "Invalid token.");

/** There is no token. */
export const tokenRequired = (shape: ErrorShape): VendorReply =>
  shape === "portal"
    ? jsonReply(200, {
        error: { code: 499, message: "Token Required", messageCode: "GWM_0003", details: ["Token Required"] },
      })
    : errorReply("server", 499, "Unauthorized access. Token not found. You can generate a token using generateToken.");

const DENIED = "You do not have permissions to access this resource or perform this operation.";

/** A privilege is missing. */
export const forbidden = (shape: ErrorShape): VendorReply => errorReply(shape, 403, DENIED);

/** The same without a code, which has been seen too. */
export const forbiddenWithoutCode = (shape: ErrorShape): VendorReply => errorReply(shape, undefined, DENIED);

/** generateToken's answer to a wrong user name or password. */
export const wrongPassword: VendorReply = jsonReply(200, {
  error: { code: 400, message: "Unable to generate token.", details: ["Invalid username or password."] },
});

/** An operation that failed, and gives no code. */
export const failedWithoutCode = (word: "error" | "failed" = "error"): VendorReply =>
  jsonReply(200, { status: word, messages: ["The operation failed."] });

/** The page that a proxy or SAML puts in the way. */
export const signInPage: VendorReply = htmlReply(200, "Sign In");

/** The same, elsewhere. */
export const signInRedirect: VendorReply = {
  status: 302,
  headers: { location: "https://sign-in.example.com/saml?then=refresh" },
};

/** A real HTTP error, as an ingress or a newer service sends it. */
export const httpError = (status: number, body: "json" | "html" | "empty", code = status): VendorReply =>
  body === "json"
    ? errorReply("portal", code, "Something went wrong.", status)
    : body === "html"
      ? htmlReply(status, `${status} from the ingress`)
      : { status };
