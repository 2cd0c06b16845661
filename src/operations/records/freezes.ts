import { Failure, preconditionFailure } from "../../core/errors.ts";
import type { Calendar, FreezeRegistry, Freezes } from "../../core/freeze.ts";
import { type Matches, targetPattern } from "../../core/target-pattern.ts";
import type { Store } from "../store/store.ts";
import { guarded } from "./unavailable.ts";

/** What one call may do in spite of freezes. */
export interface Override {
  /** Whether it says that it means to. */
  readonly asked: boolean;
  /** Whether its caller may, for a target. */
  readonly may: (target: string) => boolean;
}

/** A call may go on. */
export interface Passed {
  /** Of the freezes that it was judged by: what is written because of that names it. */
  readonly epoch: number;
  /** Names of the freezes that are in force, and overridden. */
  readonly over: readonly string[];
}

/** Keeps calls from what is frozen. */
export interface FreezeGuard {
  /**
   * Judges some targets: by what this process knows of freezes, and before it refuses by what is stored.
   *
   * @param fresh whether to look at what is stored first: where no write will name the epoch.
   * @throws Failure FROZEN, STORE_UNAVAILABLE
   */
  pass(targets: readonly string[], override: Override, fresh?: boolean): Promise<Passed>;
  /** What was known at an epoch is not so any more. */
  forget(epoch: number): void;
}

/** One freeze that is in force on what was asked about. */
interface InForce {
  readonly name: string;
  readonly message: string;
  /** When it ends, in words. */
  readonly end: string;
}

/** What this process knows of freezes. */
interface Known {
  readonly epoch: number;
  readonly switched: readonly { readonly freeze: Freezes["switched"][number]; readonly matches: Matches }[];
}

/**
 * Keeps freezes in a store, and calls from what is frozen.
 *
 * @param calendar those of the configuration.
 * @param now the wall clock.
 */
export function createFreezes(store: Store, calendar: Calendar, now: () => Date): FreezeGuard & FreezeRegistry {
  let known: Known | undefined;
  const load = async (): Promise<Known> => {
    const { epoch, switched } = await guarded(store.freezes());
    known = { epoch, switched: switched.map((freeze) => ({ freeze, matches: matcherOf(freeze.targets) })) };
    return known;
  };
  const inForce = ({ switched }: Known, targets: readonly string[]): InForce[] => {
    const time = now();
    return [
      ...switched
        .filter(({ freeze, matches }) => time.getTime() < freeze.until && targets.some(matches))
        .map(({ freeze: { name, message, until } }) => ({ name, message, end: new Date(until).toISOString() })),
      ...calendar.filter((freeze) => freeze.inForce(time) && targets.some(freeze.matches)),
    ];
  };
  return {
    calendar,
    async pass(targets, override, fresh = false) {
      let freezes = fresh ? await load() : (known ?? (await load()));
      let found = inForce(freezes, targets);
      if (found.length > 0 && !fresh) {
        freezes = await load();
        found = inForce(freezes, targets);
      }
      const overridable = found.length > 0 && targets.every(override.may);
      if (found.length > 0 && !(override.asked && overridable)) throw frozen(targets, found, overridable);
      return { epoch: freezes.epoch, over: found.map(({ name }) => name) };
    },
    forget(epoch) {
      if (known?.epoch === epoch) known = undefined;
    },
    async read() {
      const { epoch, switched } = await load();
      const time = now().getTime();
      return { epoch, switched: switched.map(({ freeze }) => freeze).filter(({ until }) => time < until) };
    },
    async change(epoch, change) {
      try {
        return await guarded(store.changeFreezes(epoch, change));
      } finally {
        known = undefined;
      }
    },
    async onEach(targets) {
      const freezes = await load();
      return targets.map((target) => inForce(freezes, [target]).length > 0);
    },
  };
}

/** What cannot be understood, since a later version wrote it, freezes everything: it was meant to freeze something. */
const matcherOf = (patterns: readonly string[]): Matches => {
  const read = patterns.map((text): Matches => {
    const pattern = targetPattern(text);
    return pattern.wrong === undefined ? pattern.matches : () => true;
  });
  return (target) => read.some((matches) => matches(target));
};

function frozen(targets: readonly string[], freezes: readonly InForce[], overridable: boolean): Failure {
  const [first] = freezes;
  const violations = freezes.map(({ name, message, end }) => ({
    type: "FROZEN",
    subject: `freezes/${name}`,
    description: `${message === "" ? "" : `${message}; `}until ${end}`,
  }));
  const what = targets.length === 1 ? (targets[0] ?? "") : `one of ${targets.length} targets`;
  const advice = overridable ? "wait, or set override_freeze" : "wait until it ends";
  return new Failure(
    "FROZEN",
    `${what} is frozen: ${violations.map(({ subject, description }) => `${subject} (${description})`).join(", ")}; ${advice}`,
    {
      metadata: { freeze: first?.name ?? "", until: first?.end ?? "", overridable: String(overridable) },
      details: [preconditionFailure(violations)],
    },
  );
}
