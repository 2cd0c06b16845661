import { randomBytes } from "node:crypto";
import { htmlReply, jsonReply, type VendorReply, type VendorRequest } from "../../../clouds/simulator/exchange.ts";
import { type ErrorShape, errorReply, invalidToken, tokenRequired, wrongPassword } from "./replies.ts";

/** What a sharing API is like. */
export interface TokenOptions {
  readonly username: string;
  readonly password: string;
  /** The longest life (ms) of a token: a longer one that is asked for is answered with this. */
  readonly maxLifeMs: number;
  /** The wall clock, in epoch ms. */
  readonly now: () => number;
}

/** What a token is bound to. */
interface Bound {
  readonly expires: number;
  /** Undefined: to the address, which on loopback is always the same. */
  readonly referer: string | undefined;
}

/** Minutes of a token's life when none are asked for. */
const DEFAULT_MINUTES = 60;

const FORM = "application/x-www-form-urlencoded";

/** Whether a request brings a form. */
export const isForm = ({ headers }: VendorRequest): boolean =>
  (headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() === FORM;

/** Whether an answer is wanted as JSON: everything else is a page. */
export const wantsJson = (format: string | null): boolean => format === "json" || format === "pjson";

/** The tokens that a site has given out, and what it gives them for. */
export class TokenService {
  /** Replaced when somebody changes it: tokens that were given out stay valid. */
  password: string;
  readonly #options: TokenOptions;
  readonly #tokens = new Map<string, Bound>();

  constructor(options: TokenOptions) {
    this.#options = options;
    this.password = options.password;
  }

  /** Every token that was given out, for tests that look for them where they must not be. */
  get given(): readonly string[] {
    return [...this.#tokens.keys()];
  }

  /** Revokes them all. */
  revoke(): void {
    for (const [token, bound] of this.#tokens) this.#tokens.set(token, { ...bound, expires: 0 });
  }

  /** Answers generateToken (contracts: arcgis §A.4). */
  generate(request: VendorRequest): VendorReply {
    const refuse = (detail: string): VendorReply =>
      jsonReply(200, { error: { code: 400, message: "Unable to generate token.", details: [detail] } });
    if (request.method !== "POST") return errorReply("portal", 405, "Method not allowed.", 405);
    if (request.query.has("username") || request.query.has("password")) return refuse("Credentials in the query.");
    const form = new URLSearchParams(isForm(request) ? request.body : "");
    if (!wantsJson(form.get("f"))) return htmlReply(200, "Generate Token");
    const client = form.get("client");
    const referer = form.get("referer") ?? "";
    if (!form.get("username") || !form.get("password")) return refuse("'username' and 'password' must be specified.");
    if (client !== "referer" && client !== "ip" && client !== "requestip") return refuse("Invalid 'client'.");
    if (client === "referer" && referer === "") return refuse("'referer' must be specified.");
    if (client === "ip" && !form.get("ip")) return refuse("'ip' must be specified.");
    const minutes = form.get("expiration") ?? String(DEFAULT_MINUTES);
    if (!/^[1-9]\d{0,8}$/.test(minutes)) return refuse("'expiration' must be a number of minutes.");
    if (form.get("username") !== this.#options.username || form.get("password") !== this.password) return wrongPassword;
    const life = Math.min(Number(minutes) * 60_000, this.#options.maxLifeMs);
    const expires = Math.trunc(this.#options.now() + life);
    const token = `${randomBytes(48).toString("base64url")}.`;
    this.#tokens.set(token, { expires, referer: client === "referer" ? referer : undefined });
    return jsonReply(200, { token, expires, ssl: true }, { date: new Date(this.#options.now()).toUTCString() });
  }

  /** Why a token does not admit a request; undefined: it does. */
  check(request: VendorRequest, token: string | null, shape: ErrorShape): VendorReply | undefined {
    if (!token) return tokenRequired(shape);
    const bound = this.#tokens.get(token);
    const valid =
      bound !== undefined &&
      this.#options.now() < bound.expires &&
      (bound.referer === undefined || bound.referer === request.headers.referer);
    return valid ? undefined : invalidToken(shape);
  }
}
