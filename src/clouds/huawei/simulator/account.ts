import { randomBytes } from "node:crypto";

/** An access key, as an account of Huawei Cloud has them. */
export interface AccessKey {
  accessKey: string;
  secretKey: string;
  /** Only of temporary credentials: it has to come with every request, and to be signed. */
  securityToken?: string;
}

/** A token that IAM gave. */
export interface IssuedToken {
  readonly value: string;
  readonly projectId: string;
  /** Milliseconds since 1970. */
  readonly expiresMs: number;
}

/** What the gateway and IAM know of who may ask. Whoever holds it may change it while they run. */
export interface Account {
  /** The one project; its resources are the services'. */
  readonly projectId: string;
  /** The project's name, too. */
  readonly region: string;
  /** The keys that are let in. */
  readonly keys: AccessKey[];
  /** The IAM user. */
  readonly user: { domain: string; name: string; password: string };
  /** How long (ms) a new token lives. The vendor's live a day. */
  tokenLifeMs: number;
  /** About how many characters a new token has: the more, the more roles its user has. */
  tokenLength: number;
  /** The account's wall clock, in milliseconds since 1970. */
  now: () => number;
  /** The tokens given so far, by value. Taking one out voids it. */
  readonly tokens: Map<string, IssuedToken>;
  /** Signatures that failed one after the other, by access key, and until when (ms) it is locked. */
  readonly failures: Map<string, { count: number; lockedUntil: number }>;
}

/** What an {@link Account} is like at the start. Everything has a default: the sandbox's. */
export type AccountOptions = Partial<
  Pick<Account, "projectId" | "region" | "keys" | "user" | "tokenLifeMs" | "tokenLength" | "now">
>;

/** The project of the sandbox's world. */
export const SANDBOX_PROJECT_ID = "5f0e6d7c8b9a4a3b8c7d6e5f4a3b2c1d";

const DAY_MS = 24 * 60 * 60_000;

/** The access key that stands in the sandbox's configuration; its secret protects nothing. */
export const SANDBOX_KEY: Readonly<AccessKey> = { accessKey: "SANDBOXACCESSKEY0001", secretKey: "sandbox-secret-key" };

/** Makes an account. */
export function createAccount(options: AccountOptions = {}): Account {
  return {
    projectId: SANDBOX_PROJECT_ID,
    region: "sandbox-1",
    keys: [{ ...SANDBOX_KEY }],
    user: { domain: "sandbox", name: "restartd", password: "sandbox-password" },
    tokenLifeMs: DAY_MS,
    tokenLength: 1_600,
    now: Date.now,
    ...options,
    tokens: new Map(),
    failures: new Map(),
  };
}

/** Gives a token for the account's project. Those before it stay good. */
export function issueToken(account: Account): IssuedToken {
  const value = `MIIsim${randomBytes(Math.ceil((account.tokenLength * 3) / 4)).toString("base64url")}`;
  const token = { value, projectId: account.projectId, expiresMs: account.now() + account.tokenLifeMs };
  account.tokens.set(value, token);
  return token;
}
