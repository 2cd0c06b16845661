import type { Random } from "./random.ts";

/** Sections of a configuration file. */
export type Sections = Readonly<Record<string, unknown>>;

/** A call over HTTP, in protobuf's JSON. */
export interface Ask {
  /** `package.Service/Method`. */
  readonly procedure: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What really happened at a system. */
export interface Truth {
  readonly name: string;
  /** Everything that can be restarted, by resource name. */
  readonly targets: readonly string[];
  /** How often a target was really restarted. */
  applied(target: string): number;
  /** The vendor's own names of restarts that can have been this target's; undefined: they have none that no other has. */
  handles(target: string): readonly string[] | undefined;
  /** Whether each operation that was applied names its restart, even when the answer was lost. */
  readonly namesAll: boolean;
  /** Whether reading a target always shows what became of a request; otherwise an operation may end UNRESOLVED. */
  canTell(target: string): boolean;
}

/** A vendor's system that loses requests and answers, and knows what really happened. */
export interface System extends Truth, AsyncDisposable {
  /** Targets that are restarted by one call each. */
  readonly once: readonly (readonly string[])[];
  /** Targets that everybody restarts. */
  readonly shared: readonly string[];
  /** Environment of the servers: secrets. */
  readonly env: Readonly<Record<string, string>>;
  /** Adds what reaches the system to a configuration. */
  configure(sections: Sections): Sections;
  /** The call that restarts these targets, without request_id. */
  ask(targets: readonly string[]): Ask;
  /** In words, what another way of counting restarts disagrees about: the test's own mistake. */
  miscounted(): readonly string[];
  /** How many requests that would change something have arrived, whatever became of them. */
  readonly writes: number;
  /** Whether anything goes wrong from now on. */
  chaotic: boolean;
  /** How often each thing went wrong. */
  readonly faults: ReadonlyMap<string, number>;
}

/** What a system is started with. */
export interface SystemOptions {
  readonly random: Random;
  /** How many calls it is to have targets for. */
  readonly calls: number;
}

/** Starts a system; nothing goes wrong yet. */
export type StartSystem = (options: SystemOptions) => Promise<System>;
