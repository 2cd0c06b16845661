import type { JsonObject } from "@bufbuild/protobuf";
import type { Runtime } from "../../core/target.ts";
import { USER_AGENT } from "../../core/version.ts";
import { type CountingRuntime, resultOfStatus, sendCounted, vendorCounter } from "../counted.ts";
import { type Answer, type Connections, openConnections, readAnswer } from "../http.ts";
import { keepPace, paceOf, takeTurn } from "../pace.ts";
import { notConfigured } from "../vendor.ts";
import type { HuaweiService, ProjectSettings } from "./config.ts";
import { type Authorized, type Credentials, openCredentials } from "./credentials.ts";
import { credentialsRefusal, wantsNewToken } from "./errors.ts";
import { encode } from "./sign.ts";

/** One request to a service of a project. A method other than GET may change something. */
export interface HuaweiRequest {
  readonly method: "GET" | "POST" | "PUT";
  /** What metrics call it, out of the closed list of its target. Default `get`. */
  readonly operation?: string;
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
   * Sends a request, at most once: no redirect is followed, and no refusal is answered by another try. A GET whose token is no longer
   * taken is sent once more, with a new one.
   *
   * @throws NoAnswer or what `onSend` threw, never because of a status. `failureOf` makes a Failure of it.
   */
  request(request: HuaweiRequest): Promise<Answer>;
  /**
   * Waits until the account may be asked again that has asked too fast: for what can wait.
   *
   * @param limitMs the longest wait.
   * @throws Failure THROTTLED where it would be longer; or by the signal.
   */
  turn(limitMs: number, signal: AbortSignal): Promise<void>;
}

/** One service of every project. */
export interface Projects extends AsyncDisposable {
  /** @throws Failure PROJECT_NOT_FOUND when it is not configured. */
  find(projectId: string): Project;
}

/**
 * The same project for those who can wait: its reads wait for their turn, and are repeated where they were too many all the same.
 *
 * @param limitMs the longest wait for one turn.
 */
export const patient = (project: Project, limitMs: () => number): Project => ({
  ...project,
  async request(request) {
    if (request.method !== "GET") return project.request(request);
    for (;;) {
      await project.turn(limitMs(), request.signal);
      const answer = await project.request(request);
      if (answer.status !== 429) return answer;
    }
  },
});

const TIMEOUT_MS = 30_000;

/** Bound (bytes) on the body of an answer: a list of a thousand instances has some two megabytes. */
const MAX_BYTES = 4 * 1024 * 1024;

/** Opens a service of every project. Nothing is connected before the first request. */
export function openProjects(
  projects: readonly ProjectSettings[],
  service: HuaweiService,
  runtime: Pick<Runtime, "now"> & CountingRuntime,
): Projects {
  const open = new Map(projects.map((settings) => [settings.projectId, openProject(settings, service, runtime)]));
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

/** A request that was answered. */
interface Attempt {
  readonly answer: Answer;
  /** What it was sent with, which has not been told the answer yet. */
  readonly used: Authorized | undefined;
}

function openProject(
  settings: ProjectSettings,
  service: HuaweiService,
  runtime: Pick<Runtime, "now"> & CountingRuntime,
): Project & AsyncDisposable {
  const connections: Connections = openConnections(settings.ca, TIMEOUT_MS);
  const counter = vendorCounter(runtime, service, settings.projectId);
  const credentials: Credentials = openCredentials(settings, service, { connections, counter }, runtime);
  const pace = paceOf(runtime, settings.projectId);
  const attempt = async (request: HuaweiRequest, isLast: boolean): Promise<Attempt> => {
    const { method, path, query = {}, body, headers = {}, signal, timeoutMs = TIMEOUT_MS, onSend } = request;
    const changes = method !== "GET";
    let used: Authorized | undefined;
    let isOver = false;
    // A token that has run out is no refused login: another takes its place.
    const resultOf = (answer: Answer) =>
      credentialsRefusal(answer, service, settings.projectId) &&
      (isLast || used?.renew === undefined || !wantsNewToken(answer))
        ? "credentials"
        : resultOfStatus(answer.status);
    const counting = { ...counter, operation: request.operation ?? "get", resultOf };
    const prepare = async () => {
      const url = urlOf(settings.endpoints[service], path, query);
      const text = body === undefined ? undefined : JSON.stringify(body);
      const type = text === undefined ? {} : { "content-type": "application/json" };
      const outgoing = { method, url, headers: { ...type, ...headers }, body: text ?? "" };
      used = await credentials.authorize(outgoing, signal);
      if (isOver) used.ended(undefined); // nobody waits for it any more
      return {
        url,
        method,
        headers: { accept: "application/json", "user-agent": USER_AGENT, ...used.headers },
        body: text,
        dispatcher: connections.dispatcher(changes),
      };
    };
    try {
      const answer = await sendCounted(counting, { changes, signal, timeoutMs, onSend }, prepare, (response) =>
        readAnswer(response, MAX_BYTES),
      );
      keepPace(pace, answer);
      return { answer, used };
    } catch (error) {
      isOver = true;
      used?.ended(undefined);
      throw error;
    }
  };
  return {
    projectId: settings.projectId,
    turn(limitMs, signal) {
      const { projectId } = settings;
      const sentence = `project ${projectId}: ${service} has had too many requests of restartd's own user; nothing was sent`;
      return takeTurn(pace, limitMs, signal, { sentence, metadata: { project: projectId, vendor: service } });
    },
    async request(request) {
      const first = await attempt(request, false);
      const renew = wantsNewToken(first.answer) ? first.used?.renew : undefined;
      if (renew === undefined) {
        first.used?.ended(first.answer);
        return first.answer;
      }
      renew();
      first.used?.ended(undefined);
      // What may change something is not sent again: its caller is told that nothing was done.
      if (request.method !== "GET") return first.answer;
      const second = await attempt(request, true);
      if (wantsNewToken(second.answer)) second.used?.renew?.();
      second.used?.ended(second.answer);
      return second.answer;
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
