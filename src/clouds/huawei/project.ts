import type { JsonObject } from "@bufbuild/protobuf";
import type { Runtime } from "../../core/target.ts";
import { USER_AGENT } from "../../core/version.ts";
import { type Answer, type Connections, openConnections, readAnswer, sendOnce } from "../http.ts";
import { notConfigured } from "../vendor.ts";
import type { HuaweiService, ProjectSettings } from "./config.ts";
import { type Authorized, type Credentials, openCredentials } from "./credentials.ts";
import { wantsNewToken } from "./errors.ts";
import { encode } from "./sign.ts";

/** One request to a service of a project. A method other than GET may change something. */
export interface HuaweiRequest {
  readonly method: "GET" | "POST" | "PUT";
  /** Path, made of segments that cannot change it. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON. */
  readonly body?: JsonObject;
  /** Further headers, by lower-case names; a `content-type` replaces application/json. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Ends the request: one that may change something only while none of its bytes can have left. */
  readonly signal: AbortSignal;
  /** Bounds (ms) the wait for credentials and a connection, then for the answer's head, then each wait for more of it. Default 30 s. */
  readonly timeoutMs?: number;
  /** Called once, immediately before the first byte can leave. What it throws is thrown, and nothing is sent. */
  readonly onSend?: () => void;
}

/** One service of one project. */
export interface Project {
  readonly projectId: string;
  /**
   * Sends a request, at most once: no redirect is followed, and no refusal is answered by another try.
   *
   * @throws NoAnswer or what `onSend` threw, never because of a status. `failureOf` makes a Failure of it.
   */
  request(request: HuaweiRequest): Promise<Answer>;
}

/** One service of every project. */
export interface Projects extends AsyncDisposable {
  /** @throws Failure PROJECT_NOT_FOUND when it is not configured. */
  find(projectId: string): Project;
}

const TIMEOUT_MS = 30_000;

/** Bound (bytes) on the body of an answer: a list of a thousand instances has some two megabytes. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Opens a service of every project. Nothing is connected before the first request. */
export function openProjects(
  projects: readonly ProjectSettings[],
  service: HuaweiService,
  clocks: Pick<Runtime, "now">,
): Projects {
  const open = new Map(projects.map((settings) => [settings.projectId, openProject(settings, service, clocks)]));
  return {
    find(projectId) {
      const project = open.get(projectId);
      if (project !== undefined) return project;
      throw notConfigured("PROJECT_NOT_FOUND", "project", projectId, "projects stand in the section huaweicloud");
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...open.values()].map((project) => project[Symbol.asyncDispose]()));
    },
  };
}

function openProject(
  settings: ProjectSettings,
  service: HuaweiService,
  clocks: Pick<Runtime, "now">,
): Project & AsyncDisposable {
  const connections: Connections = openConnections(settings.ca, TIMEOUT_MS);
  const credentials: Credentials = openCredentials(settings, service, connections, clocks);
  return {
    projectId: settings.projectId,
    async request({ method, path, query = {}, body, headers = {}, signal, timeoutMs = TIMEOUT_MS, onSend }) {
      const changes = method !== "GET";
      let used: Authorized | undefined;
      return sendOnce(
        { changes, signal, timeoutMs, onSend },
        async () => {
          const url = urlOf(settings.endpoints[service], path, query);
          const text = body === undefined ? undefined : JSON.stringify(body);
          const type = text === undefined ? {} : { "content-type": "application/json" };
          used = await credentials.authorize({ method, url, headers: { ...type, ...headers }, body: text ?? "" });
          return {
            url,
            method,
            headers: { accept: "application/json", "user-agent": USER_AGENT, ...used.headers },
            body: text,
            dispatcher: connections.dispatcher(changes),
          };
        },
        async (response) => {
          const answer = await readAnswer(response, MAX_BYTES);
          if (wantsNewToken(answer)) used?.forget();
          return answer;
        },
      );
    },
    [Symbol.asyncDispose]: () => connections[Symbol.asyncDispose](),
  };
}

/** Names and values of the query are encoded as a signature wants them, so that both sides read the same. */
function urlOf(endpoint: string, path: string, query: Readonly<Record<string, string | undefined>>): URL {
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    value === undefined ? [] : [`${encode(name)}=${encode(value)}`],
  );
  return new URL(`${endpoint}${path}${pairs.length === 0 ? "" : `?${pairs.join("&")}`}`);
}
