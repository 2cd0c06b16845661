import type { DescService, MessageInitShape } from "@bufbuild/protobuf";
import type { Config, ConfigSchema } from "../../gen/restart/config/v1/config_pb.ts";
import type { Call } from "./call.ts";
import type { Meter } from "./meter.ts";
import type { Action, BatchAction, Operations } from "./operation.ts";
import type { Principal } from "./principal.ts";
import type { Route } from "./route.ts";
import type { SectionReader } from "./section-reader.ts";
import type { Tracer } from "./tracer.ts";

/*
 * Glossary
 *
 *   target     a system whose things can be restarted: a folder of src/targets, a section of the configuration, some services.
 *              Also the one thing that a call is about, by its resource name.
 *   outcome    whether a call changed anything: applied, not_applied, unknown.
 *   simulator  a server on loopback that speaks a target's wire format and keeps state, for the sandbox and the tests.
 */

/**
 * One target, as everything outside its folder knows it: a line of the list in targets/index.ts. Servers, health, reflection,
 * configuration, the sandbox and the tests are derived from that list.
 */
export interface Target {
  /** Its folder. */
  readonly name: string;
  /** What it serves. */
  readonly services: readonly DescService[];
  /** Judges its section, which agrees with the schema, and says how to begin. Mistakes are reported to the reader. */
  read(sections: Config, reader: SectionReader): OpenTarget;
  /**
   * Starts its simulator with the sandbox's world.
   *
   * @param folder where it may keep files, such as credentials; removed with the sandbox.
   * @param sections what reaches the simulators before it: targets that share a section add to it.
   */
  simulate(folder: string, sections: MessageInitShape<typeof ConfigSchema>): Promise<Simulation>;
}

/** Begins to work. Nothing is connected before the first call, so that no vendor's outage stops a start. */
export type OpenTarget = (runtime: Runtime) => RunningTarget;

/** A target at work. */
export interface RunningTarget extends AsyncDisposable {
  /** Its services, with what answers them. */
  readonly routes: readonly Route[];
  /** What can be done to its targets: one for each of its mutating rpcs. */
  // biome-ignore lint/suspicious/noExplicitAny: whoever holds an action of some target does not know its messages
  readonly actions: readonly (Action<any, any, any> | BatchAction<any, any, any>)[];
  /** The closed labels of the metrics of its requests. */
  readonly vendor: VendorLabels;
  /** Who a caller is to those of its systems that are told; undefined where none is told of anybody. */
  readonly impersonates?: (principal: Principal) => readonly Impersonated[];
  /** Loads what the first call would otherwise wait for. */
  warmUp(): Promise<void>;
}

/** Who a caller is to a system. */
export interface Impersonated {
  /** The system's configured name. */
  readonly cluster: string;
  readonly user: string;
  readonly groups: readonly string[];
}

/** What metrics call the places that a target asks, and what it asks there. */
export interface VendorLabels {
  /** Its folder. */
  readonly system: string;
  /** Configured clusters, sites or projects. */
  readonly names: readonly string[];
  /** Everything that is asked: get, list, token, ... */
  readonly operations: readonly string[];
}

/** A simulator at work. */
export interface Simulation extends AsyncDisposable {
  /** What a configuration says to reach it, the same as for a real one: whole sections, each in place of what there was. */
  readonly sections: MessageInitShape<typeof ConfigSchema>;
}

/** What a target gets from the process that it runs in. */
export interface Runtime {
  /** The wall clock. */
  readonly now: () => Date;
  /** A clock in milliseconds that never goes back. */
  readonly monotonic: () => number;
  /** A number from 0 to below 1. */
  readonly random: () => number;
  /** Logs what deserves an operator's look and belongs to no one call. Nothing secret. */
  readonly warn: (message: string, fields: Readonly<Record<string, unknown>>) => void;
  /**
   * Takes work that goes on after its call has been answered: a request that was on its way when its caller left. Its outcome is
   * logged, and shutting down waits for it.
   */
  readonly background: (call: Call, work: Promise<unknown>) => void;
  /** Makes operations of mutating calls. */
  readonly operations: Operations;
  /** Counts requests to vendors. */
  readonly meter: Meter;
  /** Keeps track of what they follow from. */
  readonly tracer: Tracer;
}
