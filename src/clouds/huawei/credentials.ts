import { Failure } from "../../core/errors.ts";
import type { Runtime } from "../../core/target.ts";
import type { VendorCounter } from "../counted.ts";
import { credentialGate, type GateCaller, type GatePass } from "../credential-gate.ts";
import type { Answer, Connections } from "../http.ts";
import { unreadableSecret } from "../obstacles.ts";
import type { HuaweiService, IamSettings, KeyFileSettings, KeySettings, ProjectSettings } from "./config.ts";
import { credentialsRefusal } from "./errors.ts";
import { fetchToken, type Token } from "./iam.ts";
import { readKeyFile, type WholeKey } from "./key-file.ts";
import { authorizationOf, sdkDate } from "./sign.ts";

/** A request as it stands before it has credentials. */
export interface Outgoing {
  readonly method: string;
  readonly url: URL;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Empty where there is none. */
  readonly body: string;
}

/** What makes a request ours. */
export interface Authorized {
  /** The request's headers and those that say who we are. */
  readonly headers: Readonly<Record<string, string>>;
  /** Told what the service answered, or that there is no answer. */
  readonly ended: (answer: Answer | undefined) => void;
  /** Gives up the token that the service did not take, so that the next request gets another one; undefined where there is no token. */
  readonly renew: (() => void) | undefined;
}

/** Who we are in one project. Secrets are read anew for every request. */
export interface Credentials {
  /**
   * @param signal ends the wait for others who show the same credentials.
   * @throws Failure when our credentials cannot be read, have been refused before, or IAM gives no token for them. Nothing was sent to the
   *   service then.
   */
  authorize(request: Outgoing, signal: AbortSignal): Promise<Authorized>;
}

/** Headers that are signed when they are sent, beside those that signing adds (contracts: huaweicloud E.3). */
const SIGNED: ReadonlySet<string> = new Set(["content-type", "x-enterprise-project-id"]);

/** How long (ms) before its end a token is not used any more, at most: a request may be on its way for a while. */
const MARGIN_MS = 5 * 60_000;

/** What IAM is asked by. */
interface IamContext {
  readonly connections: Connections;
  readonly counter: VendorCounter;
}

/** Opens the credentials of a project for one service. */
export function openCredentials(
  { projectId, credentials }: Pick<ProjectSettings, "projectId" | "credentials">,
  service: HuaweiService,
  iam: IamContext,
  runtime: Pick<Runtime, "now" | "monotonic">,
): Credentials {
  const context = { projectId, service, ...iam, runtime };
  return credentials.kind === "iam" ? byToken(credentials, context) : byKey(credentials, context);
}

interface CredentialsContext extends IamContext {
  readonly projectId: string;
  readonly service: HuaweiService;
  readonly runtime: Pick<Runtime, "now" | "monotonic">;
}

/** Who is told of a refusal that is remembered. */
const callerOf = ({ projectId, service }: CredentialsContext): GateCaller => ({
  place: `project ${projectId}`,
  metadata: { project: projectId, vendor: service },
});

/** Tells a gate what an answer says of the credentials that it was got with. */
const credentialsOutcome =
  (pass: GatePass, { projectId, service }: CredentialsContext) =>
  (answer: Answer | undefined): void => {
    const failure = answer && credentialsRefusal(answer, service, projectId);
    if (failure !== undefined) pass.refused(failure);
    else if (answer !== undefined && answer.status < 500 && answer.status !== 429) pass.accepted();
    else pass.leave();
  };

function byKey(settings: KeySettings | KeyFileSettings, context: CredentialsContext): Credentials {
  return {
    async authorize({ method, url, headers, body }, signal) {
      const { securityToken, ...key } = keyOf(settings, context);
      const secret = JSON.stringify([key.secretKey, securityToken]);
      const gate = credentialGate(context.runtime, `key ${key.accessKey}`);
      const pass = await gate.enter(secret, callerOf(context), signal);
      const added = {
        "x-sdk-date": sdkDate(context.runtime.now()),
        "x-project-id": context.projectId,
        ...(securityToken !== undefined && { "x-security-token": securityToken }),
      };
      const signed = {
        ...Object.fromEntries(Object.entries(headers).filter(([name]) => SIGNED.has(name))),
        ...added,
        host: url.host,
      };
      const authorization = authorizationOf({ method, url, headers: signed, body }, key);
      return {
        headers: { ...headers, ...added, authorization },
        ended: credentialsOutcome(pass, context),
        renew: undefined,
      };
    },
  };
}

/** The key as it is now. What goes into a header as it is has to be one word. */
function keyOf(settings: KeySettings | KeyFileSettings, context: CredentialsContext): WholeKey {
  const key =
    settings.kind === "key file"
      ? read(() => readKeyFile(settings.file), context)
      : {
          accessKey: read(settings.accessKey, context),
          secretKey: read(settings.secretKey, context),
          securityToken: settings.securityToken && read(settings.securityToken, context),
        };
  if (![key.accessKey, key.securityToken ?? "-"].every((word) => /^[!-~]+$/.test(word))) {
    throw unusable("have spaces, line ends or other letters in them", context);
  }
  return key;
}

/** A token with the password that it was given for. */
interface Held {
  readonly password: string;
  readonly token: Promise<Token>;
  /** Until when (ms) it is used; unknown while it is being fetched. */
  usableUntil: number;
}

function byToken(settings: IamSettings, context: CredentialsContext): Credentials {
  const nowMs = () => context.runtime.now().getTime();
  let held: Held | undefined;

  const drop = (token: Held): void => {
    if (held === token) held = undefined;
  };
  const fetchAnew = (password: string): Held => {
    const token = fetchGuarded(settings, password, context);
    const fresh: Held = { password, token, usableUntil: Number.POSITIVE_INFINITY };
    token.then(
      ({ lifeMs }) => {
        fresh.usableUntil = nowMs() + lifeMs - Math.min(MARGIN_MS, lifeMs / 10);
      },
      () => drop(fresh), // whoever waits for it is told; the next request asks again
    );
    return fresh;
  };
  return {
    async authorize({ headers }, signal) {
      const password = read(settings.password, context);
      const gate = credentialGate(context.runtime, `${accountOf(settings)} ${context.projectId} ${context.service}`);
      const pass = await gate.enter(password, callerOf(context), signal);
      if (held === undefined || held.password !== password || held.usableUntil <= nowMs()) {
        held = fetchAnew(password);
      }
      const mine = held;
      try {
        const { value } = await mine.token;
        const ended = credentialsOutcome(pass, context);
        return { headers: { ...headers, "x-auth-token": value }, ended, renew: () => drop(mine) };
      } catch (error) {
        if (isRejection(error) && !isOfUser(error)) pass.refused(error);
        pass.leave();
        throw error;
      }
    },
  };
}

/** What names an IAM user. */
const accountOf = ({ endpoint, domain, username }: IamSettings): string => JSON.stringify([endpoint, domain, username]);

/** Shows a password to IAM, unless that has refused it. */
async function fetchGuarded(settings: IamSettings, password: string, context: CredentialsContext): Promise<Token> {
  const { projectId, service, connections, counter, runtime } = context;
  const gate = credentialGate(runtime, accountOf(settings));
  // What is asked of IAM has a limit of its own: so has the wait for another who asks.
  const pass = await gate.enter(password, callerOf(context), new AbortController().signal);
  try {
    const token = await fetchToken({ settings, password, projectId, service }, connections, counter);
    pass.accepted();
    return token;
  } catch (error) {
    if (isRejection(error)) isOfUser(error) ? pass.refused(error) : pass.accepted();
    throw error;
  } finally {
    pass.leave();
  }
}

const isRejection = (error: unknown): error is Failure =>
  error instanceof Failure && error.reason === "VENDOR_CREDENTIALS_REJECTED";

/** Whether IAM refused the user as such: what else it refuses has to do with the project. */
const isOfUser = ({ metadata }: Failure): boolean => ["401", "403"].includes(metadata.vendor_http_status ?? "");

/** A secret as it is now. */
function read<Secret>(give: () => Secret, context: CredentialsContext): Secret {
  try {
    return give();
  } catch (error) {
    const { projectId, service } = context;
    const described = {
      place: `project ${projectId}`,
      who: "a secret of restartd's own",
      metadata: { project: projectId, vendor: service },
    };
    // The cause says where they should be, and goes to the log alone.
    throw unreadableSecret(error, described) ?? unusable("cannot be read", context, error);
  }
}

const unusable = (why: string, { projectId, service }: CredentialsContext, cause?: unknown): Failure =>
  new Failure(
    "VENDOR_CREDENTIALS_REJECTED",
    `project ${projectId}: restartd's own credentials ${why}; its operator has to renew them`,
    { metadata: { project: projectId, vendor: service }, cause },
  );
