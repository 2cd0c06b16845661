/** What a raw request to a {@link Backend} answered. */
export interface BackendResponse {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
  /** The body parsed as JSON; throws when it is not JSON. Untyped on purpose: tests look into arbitrary Kubernetes objects. */
  // biome-ignore lint/suspicious/noExplicitAny: a Kubernetes object of any kind
  json(): any;
}

/** Options of {@link Backend.request}. */
export interface BackendRequest {
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Default `application/json`. */
  readonly contentType?: string;
  readonly headers?: Record<string, string>;
  /** Who asks: a name out of {@link Backend.users}. Default `admin`. */
  readonly user?: string;
}

/** Something that can be stopped and started again while a test runs. */
export interface Pausable {
  pause(): Promise<void>;
  resume(): Promise<void>;
}

/**
 * One Kubernetes API server under test: the simulator or a real control plane.
 *
 * The behaviour suite knows nothing else, so that the same tests run against both; where they differ, the simulator is wrong.
 */
export interface Backend extends AsyncDisposable {
  readonly name: "simulator" | "cluster";
  /** Path of a kubeconfig file. Its current context is `admin`; every other context is named after its user. */
  readonly kubeconfig: string;
  /** Base address of the API server. */
  readonly url: string;
  /**
   * Contexts of the kubeconfig beside `admin` (system:masters): `patcher` (get, list, watch and patch on apps and argoproj.io
   * workloads in every namespace), `blind` (patch alone), `reader` (get, list, watch), `nobody` (authenticated, discovery only),
   * `intruder` (a token that the server does not know).
   */
  readonly users: readonly string[];
  /** A raw request, for building a world and looking at it. Never throws because of a status. */
  request(method: string, path: string, options?: BackendRequest): Promise<BackendResponse>;
  /** What observes specs and writes statuses: kube-controller-manager, or the simulator's controllers. */
  readonly controllers: Pausable;
  /** What makes pods ready: kwok, or the simulator's pods. */
  readonly pods: Pausable;
  /** Stops the API server and starts it again on the same port with the same data. */
  restartServer(): Promise<void>;
}
