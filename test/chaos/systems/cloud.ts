import type { VendorReply, VendorRequest } from "../../../src/clouds/simulator/exchange.ts";
import type { VendorServer } from "../../../src/clouds/simulator/server.ts";
import { Mischiefs, type Replies, readsOf, type Shares, writesOf } from "../mischief.ts";
import type { Random } from "../random.ts";
import type { System } from "../system.ts";

/** What goes wrong at a cloud. */
export interface CloudOptions {
  readonly random: Random;
  readonly server: Pick<VendorServer, "inject">;
  readonly replies: Replies<VendorReply>;
  /** Beside what goes wrong everywhere. */
  readonly writes?: Shares<VendorReply>;
  readonly changes: (request: VendorRequest) => boolean;
  /** The vendor's own names of what it says to have begun, in an answer that it made, whether that left or not: empty for one without. */
  readonly namesIn: (body: Readonly<Record<string, unknown>>) => readonly string[];
}

/** The part of a {@link System} that all clouds have. */
export interface Cloud extends Pick<System, "chaotic" | "faults" | "writes"> {
  /** What {@link CloudOptions.namesIn} found so far. */
  readonly names: readonly string[];
}

/** Has requests to a cloud go wrong, and listens to what it means to answer. */
export function openCloud({ random, server, replies, writes, changes, namesIn }: CloudOptions): Cloud {
  const names: string[] = [];
  const mischiefs = new Mischiefs<VendorRequest, VendorReply>({
    random,
    writes: { ...writesOf(replies), ...writes },
    reads: readsOf(replies),
    changes,
  });
  for (const { answer, ...fault } of mischiefs.faults) {
    server.inject({
      ...fault,
      answer:
        typeof answer === "object"
          ? answer
          : (original) => {
              if (isObject(original.body) && original.status === 200) names.push(...namesIn(original.body));
              return answer?.() ?? original;
            },
    });
  }
  return {
    names,
    faults: mischiefs.counts,
    get writes() {
      return mischiefs.writes;
    },
    get chaotic() {
      return mischiefs.chaotic;
    },
    set chaotic(chaotic) {
      mischiefs.chaotic = chaotic;
    },
  };
}

const isObject = (body: VendorReply["body"]): body is Readonly<Record<string, unknown>> =>
  typeof body === "object" && !Array.isArray(body);

/** The test's own mistake, if a cloud did something else than it meant to answer. */
export function miscountOf(
  { name, targets, applied }: Pick<System, "name" | "targets" | "applied">,
  said: number,
): string[] {
  const done = targets.reduce((sum, target) => sum + applied(target), 0);
  return done === said ? [] : [`${name} did ${done}, and answered that it did ${said}`];
}
