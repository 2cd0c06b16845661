import { Failure } from "../../core/errors.ts";
import type { Runtime } from "../../core/target.ts";
import type { Connections } from "../http.ts";
import { unreadableSecret } from "../obstacles.ts";
import type { HuaweiService, IamSettings, KeyFileSettings, KeySettings, ProjectSettings } from "./config.ts";
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
  /** The service wants another token: the next request gets one. This request is not sent again. */
  readonly forget: () => void;
}

/** Who we are in one project. Secrets are read anew for every request. */
export interface Credentials {
  /** @throws Failure when our credentials cannot be read, or IAM gives no token for them. Nothing was sent to the service then. */
  authorize(request: Outgoing): Promise<Authorized>;
}

/** Headers that are signed when they are sent, beside those that signing adds (contracts: huaweicloud E.3). */
const SIGNED: ReadonlySet<string> = new Set(["content-type", "x-enterprise-project-id"]);

/** How long (ms) before its end a token is not used any more, at most: a request may be on its way for a while. */
const MARGIN_MS = 5 * 60_000;

/** Opens the credentials of a project for one service. */
export function openCredentials(
  { projectId, credentials }: Pick<ProjectSettings, "projectId" | "credentials">,
  service: HuaweiService,
  connections: Connections,
  clocks: Pick<Runtime, "now">,
): Credentials {
  const scene = { projectId, service, connections, clocks };
  return credentials.kind === "iam" ? byToken(credentials, scene) : byKey(credentials, scene);
}

interface Scene {
  readonly projectId: string;
  readonly service: HuaweiService;
  readonly connections: Connections;
  readonly clocks: Pick<Runtime, "now">;
}

function byKey(settings: KeySettings | KeyFileSettings, scene: Scene): Credentials {
  return {
    async authorize({ method, url, headers, body }) {
      const { securityToken, ...key } = keyOf(settings, scene);
      const added = {
        "x-sdk-date": sdkDate(scene.clocks.now()),
        "x-project-id": scene.projectId,
        ...(securityToken !== undefined && { "x-security-token": securityToken }),
      };
      const signed = {
        ...Object.fromEntries(Object.entries(headers).filter(([name]) => SIGNED.has(name))),
        ...added,
        host: url.host,
      };
      const authorization = authorizationOf({ method, url, headers: signed, body }, key);
      return { headers: { ...headers, ...added, authorization }, forget: () => {} };
    },
  };
}

/** The key as it is now. What goes into a header as it is has to be one word. */
function keyOf(settings: KeySettings | KeyFileSettings, scene: Scene): WholeKey {
  const key =
    settings.kind === "key file"
      ? read(() => readKeyFile(settings.file), scene)
      : {
          accessKey: read(settings.accessKey, scene),
          secretKey: read(settings.secretKey, scene),
          securityToken: settings.securityToken && read(settings.securityToken, scene),
        };
  if (![key.accessKey, key.securityToken ?? "-"].every((word) => /^[!-~]+$/.test(word))) {
    throw unusable("have spaces, line ends or other letters in them", scene);
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

function byToken(settings: IamSettings, scene: Scene): Credentials {
  const nowMs = () => scene.clocks.now().getTime();
  let held: Held | undefined;

  const drop = (token: Held): void => {
    if (held === token) held = undefined;
  };
  const fetchAnew = (password: string): Held => {
    const asked = { settings, password, projectId: scene.projectId, service: scene.service };
    const token = fetchToken(asked, scene.connections);
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
    async authorize({ headers }) {
      const password = read(settings.password, scene);
      if (held === undefined || held.password !== password || held.usableUntil <= nowMs()) {
        held = fetchAnew(password);
      }
      const mine = held;
      const { value } = await mine.token;
      return { headers: { ...headers, "x-auth-token": value }, forget: () => drop(mine) };
    },
  };
}

/** A secret as it is now. */
function read<Secret>(give: () => Secret, scene: Scene): Secret {
  try {
    return give();
  } catch (error) {
    const { projectId, service } = scene;
    const context = {
      place: `project ${projectId}`,
      who: "a secret of restartd's own",
      metadata: { project: projectId, vendor: service },
    };
    // The cause says where they should be, and goes to the log alone.
    throw unreadableSecret(error, context) ?? unusable("cannot be read", scene, error);
  }
}

const unusable = (why: string, { projectId, service }: Scene, cause?: unknown): Failure =>
  new Failure(
    "VENDOR_CREDENTIALS_REJECTED",
    `project ${projectId}: restartd's own credentials ${why}; its operator has to renew them`,
    { metadata: { project: projectId, vendor: service }, cause },
  );
