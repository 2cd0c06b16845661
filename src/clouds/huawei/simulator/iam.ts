import { fieldsOf } from "../../json.ts";
import { jsonReply, type VendorReply, type VendorRequest } from "../../simulator/exchange.ts";
import { startVendorServer, type VendorServer, type VendorServerOptions } from "../../simulator/server.ts";
import { type Account, issueToken } from "./account.ts";
import { keystoneError, newRequestId } from "./replies.ts";

/** Starts IAM for an account: it gives tokens for a user's password. */
export const startIam = (account: Account, options: VendorServerOptions = {}): Promise<VendorServer> =>
  startVendorServer((request) => withDate(answerIam(request, account), account), options);

/** What IAM answers. */
export function answerIam(request: VendorRequest, account: Account): VendorReply {
  if (request.path !== "/v3/auth/tokens") return keystoneError(404, "Not Found", "The resource could not be found.");
  if (request.method !== "POST") return keystoneError(405, "Method Not Allowed", "The method is not allowed.");
  if (!/^application\/json *(; *charset=utf-?8 *)?$/i.test(request.headers["content-type"] ?? "")) {
    return keystoneError(415, "Unsupported Media Type", "The content type must be application/json.");
  }
  const asked = readTokenRequest(request.body);
  if (asked === undefined) return keystoneError(400, "Bad Request", "Request body is invalid.");
  const { user, projectId, region } = account;
  if (asked.name !== user.name || asked.domain !== user.domain || asked.password !== user.password) {
    return keystoneError(401, "Unauthorized", "The username or password is wrong.");
  }
  if (asked.projectId !== projectId && asked.projectName !== region) {
    return keystoneError(404, "Not Found", "Could not find project.");
  }
  return tokenReply(account);
}

function tokenReply(account: Account): VendorReply {
  const { projectId, region, user } = account;
  const { value, expiresMs } = issueToken(account);
  const domain = { id: "d0000000000000000000000000000001", name: user.domain };
  const token = {
    methods: ["password"],
    expires_at: microseconds(expiresMs),
    issued_at: microseconds(account.now()),
    project: { id: projectId, name: region, domain },
    user: { id: "u0000000000000000000000000000001", name: user.name, domain },
    roles: [],
  };
  return jsonReply(201, { token }, { "x-subject-token": value, "x-request-id": newRequestId() });
}

/** As Keystone writes moments: 2019-02-13T06:52:13.855000Z. */
const microseconds = (moment: number): string => new Date(moment).toISOString().replace("Z", "000Z");

interface Wanted {
  readonly name: unknown;
  readonly password: unknown;
  readonly domain: unknown;
  readonly projectId: unknown;
  readonly projectName: unknown;
}

function readTokenRequest(body: string): Wanted | undefined {
  let document: unknown;
  try {
    document = JSON.parse(body);
  } catch {
    return undefined; // the caller answers what IAM answers to it
  }
  const auth = fieldsOf(fieldsOf(document)?.auth);
  const identity = fieldsOf(auth?.identity);
  const methods = identity?.methods;
  const user = fieldsOf(fieldsOf(identity?.password)?.user);
  const project = fieldsOf(fieldsOf(auth?.scope)?.project);
  if (!Array.isArray(methods) || methods.length !== 1 || methods[0] !== "password" || user === undefined) {
    return undefined;
  }
  return {
    name: user.name,
    password: user.password,
    domain: fieldsOf(user.domain)?.name,
    projectId: project?.id,
    projectName: project?.name,
  };
}

/** An answer by the account's clock. */
export const withDate = (reply: VendorReply, account: Account): VendorReply => ({
  ...reply,
  headers: { date: new Date(account.now()).toUTCString(), ...reply.headers },
});
