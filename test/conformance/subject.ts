import type { DescMethodUnary, JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { ArcgisSchema } from "../../gen/restart/config/v1/arcgis_pb.ts";
import type { HuaweicloudSchema } from "../../gen/restart/config/v1/huaweicloud_pb.ts";
import type { KubernetesSchema } from "../../gen/restart/config/v1/kubernetes_pb.ts";
import type { Reason } from "../../src/core/errors.ts";
import type { Target } from "../../src/core/target.ts";

/** One target, as the conformance suite knows it: what it says of itself, and how to start a world that it can be let loose on. */
export interface Subject<Play extends World = World> {
  /** Its folder. */
  readonly target: Target;
  /** The rpc that is held to the suite. */
  readonly method: DescMethodUnary;
  /** Starts its simulator; each test has one of its own. */
  start(): Promise<Play>;
  /** Until when one operation keeps others from its target, as its action says. */
  readonly blocksUntil: "applied" | "ended";
  /** Whether a call is accepted and permitted by one write, as its action says. */
  readonly permitsAtOnce?: boolean;
  /** What looking at a target proves of a request that got no answer: that it was applied, that it was not. */
  readonly shows: { readonly applied: boolean; readonly notApplied: boolean };
  /** How a call is answered whose request was applied and whose answer was lost: `ok` where one read proves it at once. */
  readonly lostAnswer: "ok" | "unknown";
  /** The vendor does not take our credentials for the request. */
  readonly credentialsRefused: {
    readonly reply: WireReply;
    readonly reason: Reason;
    /** Whether what was refused is not shown to the vendor again for a while. Default false. */
    readonly remembered?: boolean;
  };
  /** Nobody listens where the vendor should be. */
  readonly unreachable: Reason;
  readonly guards: readonly Guard<Play>[];
  /** How what was applied ends badly. */
  readonly endings: readonly Ending<Play>[];
  /** Fields that choose something within the vendor: each puts a value into it. No text may lead elsewhere than to such a thing. */
  readonly ids: Readonly<Record<string, (value: string) => JsonObject>>;
  /** Fields that choose out of the configuration, with a name that is not there. */
  readonly unconfigured: readonly { readonly request: JsonObject; readonly reason: Reason }[];
  /** A field of the request that makes it another one, beside `reason`: for request_ids that are used again. */
  readonly otherwise: JsonObject;
}

/** The target's sections of a configuration. */
export interface Sections {
  readonly kubernetes?: MessageInitShape<typeof KubernetesSchema>;
  readonly arcgis?: MessageInitShape<typeof ArcgisSchema>;
  readonly huaweicloud?: MessageInitShape<typeof HuaweicloudSchema>;
}

/** A simulator at work, and a configuration that reaches it. */
export interface World extends AsyncDisposable {
  /** Sections of the configuration: they are judged as a file's. */
  readonly sections: Sections;
  /** Texts that nobody may ever see: in an error, the log, the store. */
  readonly secrets: readonly string[];
  /** A new thing, or one that was not used before: idle, and nothing hinders its restart. */
  fresh(): Thing;
  /** Has a thing that was restarted, and is idle again, be one that can be restarted. */
  renew(thing: Thing): void;
  /** How often the vendor really did it. */
  applied(thing: Thing): number;
  /** Requests that arrived, whatever became of them. */
  requests(): number;
  /** Those among them that ask for the restart itself. */
  mutations(): number;
  /** Makes the next such request, or reads, go wrong. */
  inject(which: "mutation" | "read", fault: WireFault): void;
  /** From now on nothing that was begun comes to an end. */
  hold(): void;
  /** What was begun may end now. */
  release(): void;
  /** From now on nobody listens. */
  vanish(): Promise<void>;
}

/** What a test restarts. */
export interface Thing {
  /** Its resource name. */
  readonly target: string;
  /** The request that restarts it, in protobuf's JSON, without the fields that all have. */
  readonly request: JsonObject;
  /** What the rpc answers, as far as it is known before. */
  readonly answer: JsonObject;
}

/** Something that must be refused before anything is sent. */
export interface Guard<Play extends World> {
  readonly what: string;
  readonly reason: Reason;
  /** Makes such a thing; answers the request that is refused. */
  request(world: Play): JsonObject;
  /** Fields that make the same request pass. Default: nothing does. */
  readonly unless?: JsonObject;
}

/** What was applied ends badly. */
export interface Ending<Play extends World> {
  readonly what: string;
  readonly reason: Reason;
  /** Has it end so: called before it is restarted, */
  readonly before?: (world: Play, thing: Thing) => void;
  /** and when the restart was taken, while the world is held. */
  readonly after?: (world: Play, thing: Thing) => void;
}

/** An answer on the wire. */
export interface WireReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What goes wrong with a request; parts act in this order. */
export interface WireFault {
  /** Waited for before executing. */
  readonly before?: () => Promise<void>;
  /** Milliseconds to wait before executing. */
  readonly delayBefore?: number;
  /** Cuts the connection there. */
  readonly disconnect?: "before-executing" | "after-executing" | "while-answering";
  /** Answers this, instead of executing; a function has it executed, and gets the real answer. */
  readonly answer?: WireReply | ((real: WireReply) => WireReply);
  /** Milliseconds to wait between executing and answering. */
  readonly delayAfter?: number;
  /** For how many requests. Default 1. */
  readonly times?: number;
}
