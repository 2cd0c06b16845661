import { encode, type Json, type JsonObject, type KubeObject } from "./json.ts";
import { numberParameter, selectorOf } from "./listing.ts";
import { apiVersionOf, type Resource } from "./resources.ts";
import { expired, internal, type StatusError } from "./status-errors.ts";
import { namespaceOf, type Store, type StoreEvent } from "./store.ts";

/** Where a watch writes to. */
export interface WatchSink {
  /** Writes one line. */
  write(line: string): void;
  /** Ends the answer. */
  end(): void;
}

/** An open watch. */
export interface Watch {
  /** Ends it, after an ERROR event when a status is given. */
  stop(error?: StatusError): void;
}

/** How watches behave. */
export interface WatchOptions {
  /** Milliseconds between bookmarks. Default 60000, as on a real server. */
  readonly bookmarkPeriod: number;
  /** Whether an expired resourceVersion is told by an ERROR event in a 200 stream (as a real watch cache does), or by HTTP 410. */
  readonly expiredWatch: "event" | "status";
}

/** A watch whose parameters are good: {@link open} starts the stream. */
export interface PreparedWatch {
  open(sink: WatchSink, closed: () => void): Watch;
}

/** Checks the parameters of a watch; throws what must be answered before a stream begins. */
export function prepareWatch(
  store: Store,
  resource: Resource,
  namespace: string,
  query: URLSearchParams,
  options: WatchOptions,
): PreparedWatch {
  const selected = selectorOf(query);
  const inScope = (object: KubeObject) => (namespace === "" || namespaceOf(object) === namespace) && selected(object);
  const seconds = numberParameter(query, "timeoutSeconds");
  const bookmarks = ["1", "true"].includes(query.get("allowWatchBookmarks") ?? "");
  const text = query.get("resourceVersion") ?? "";
  if (text !== "" && !/^\d+$/.test(text)) {
    throw internal(`resourceVersion: Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`);
  }
  const from = Number(text);
  const tooOld = from > 0 && from < store.oldest;
  const gone = expired(`too old resource version: ${from} (${store.oldest})`);
  if (tooOld && options.expiredWatch === "status") throw gone;
  return {
    open: (sink, closed) => {
      const watch = new OpenWatch(store, resource, inScope, sink, closed, from);
      if (tooOld) watch.stop(gone);
      else
        watch.start({
          initialBookmark: bookmarks && text === "",
          bookmarkPeriod: bookmarks ? options.bookmarkPeriod : 0,
          seconds,
        });
      return watch;
    },
  };
}

/** How one watch starts. */
interface Start {
  readonly initialBookmark: boolean;
  readonly bookmarkPeriod: number;
  readonly seconds: number | undefined;
}

class OpenWatch implements Watch {
  readonly #store: Store;
  readonly #resource: Resource;
  readonly #inScope: (object: KubeObject) => boolean;
  readonly #sink: WatchSink;
  readonly #closed: () => void;
  readonly #timers: NodeJS.Timeout[] = [];
  #from: number;
  #unsubscribe: () => void = () => undefined;
  #stopped = false;

  constructor(
    store: Store,
    resource: Resource,
    inScope: (object: KubeObject) => boolean,
    sink: WatchSink,
    closed: () => void,
    from: number,
  ) {
    this.#store = store;
    this.#resource = resource;
    this.#inScope = inScope;
    this.#sink = sink;
    this.#closed = closed;
    this.#from = from;
  }

  start(options: Start): void {
    if (this.#from === 0) {
      for (const object of this.#store.list(this.#resource)) if (this.#inScope(object)) this.#event("ADDED", object);
      this.#from = this.#store.revision;
    } else {
      for (const event of this.#store.since(this.#from) ?? []) this.#deliver(event);
    }
    if (options.initialBookmark) this.#bookmark(true);
    this.#unsubscribe = this.#store.subscribe((event) => this.#deliver(event));
    // A server ends every watch some time: between half an hour and an hour when the client names no end.
    const seconds = options.seconds !== undefined && options.seconds > 0 ? options.seconds : 2700;
    this.#timers.push(setTimeout(() => this.stop(), seconds * 1000));
    if (options.bookmarkPeriod > 0) {
      this.#timers.push(setInterval(() => this.#bookmark(false), options.bookmarkPeriod));
    }
    for (const timer of this.#timers) timer.unref();
  }

  stop(error?: StatusError): void {
    if (this.#stopped) return;
    this.#stopped = true;
    if (error !== undefined) this.#event("ERROR", error.status);
    this.#unsubscribe();
    for (const timer of this.#timers) clearTimeout(timer);
    this.#sink.end();
    this.#closed();
  }

  /** An object that begins or ceases to match comes and goes, whatever really happened to it. */
  #deliver(event: StoreEvent): void {
    if (event.resource !== this.#resource || event.revision <= this.#from || this.#stopped) return;
    const before = event.before !== undefined && this.#inScope(event.before);
    const after = event.type !== "DELETED" && this.#inScope(event.object);
    if (after) this.#event(before ? "MODIFIED" : "ADDED", event.object);
    else if (before) this.#event("DELETED", event.object);
  }

  #bookmark(initial: boolean): void {
    const metadata: JsonObject = { resourceVersion: String(this.#store.revision) };
    if (initial) metadata.annotations = { "k8s.io/initial-events-end": "true" };
    this.#event("BOOKMARK", { kind: this.#resource.kind, apiVersion: apiVersionOf(this.#resource), metadata });
  }

  #event(type: string, object: Json): void {
    this.#sink.write(encode({ type, object }));
  }
}
