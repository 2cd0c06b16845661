import { randomUUID } from "node:crypto";
import type { JsonObject } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { openSession, type Seen, type Session, type SessionOptions } from "../session.ts";
import type { Subject, Thing, WireFault, World } from "../subject.ts";
import type { Told } from "../told.ts";

/** A server and its vendor, for one test. */
export interface Scene<Play extends World> {
  readonly world: Play;
  readonly session: Session;
}

/** Plays a scene. Whatever happens in it, no secret may be seen anywhere afterwards. */
export async function scene<Play extends World>(
  subject: Subject<Play>,
  play: (scene: Scene<Play>) => Promise<void>,
  options: SessionOptions = {},
): Promise<void> {
  await using world = await subject.start();
  await using session = await openSession(subject, world, options);
  await play({ world, session });
  expect(await session.sightsOf(world.secrets)).toEqual([]);
}

/** The request for a thing, with a request_id of its own. */
export const requestFor = (thing: Thing): JsonObject => ({ ...thing.request, requestId: randomUUID() });

/** What became of one restart whose request met a fault. */
export interface Story {
  readonly told: Told;
  /** The operation at its end. */
  readonly seen: Seen;
  /** What the same call was told when it had ended. */
  readonly again: Told;
  readonly mutations: number;
  readonly applied: number;
}

/** Restarts a thing once, with a fault in the way, and waits for the end; then makes the same call again. */
export async function tell(
  { world, session }: Scene<World>,
  thing: Thing,
  fault: WireFault | undefined,
): Promise<Story> {
  const before = world.mutations();
  const request = requestFor(thing);
  // So that whoever looks sees it at work, however soon it could end.
  world.hold();
  if (fault !== undefined) world.inject("mutation", fault);
  const told = await session.restart(request);
  await session.until(thing, ({ done, state }) => done || state === "SENT");
  world.release();
  const seen = await session.ended(thing);
  const again = await session.restart(request);
  return { told, seen, again, mutations: world.mutations() - before, applied: world.applied(thing) };
}

/** What a caller is told of success. */
export const ok = (thing: Thing) => ({ code: "ok", answer: thing.answer });

/** What a caller is told while nobody knows. */
export const UNKNOWN = { code: "unknown", reason: "OUTCOME_UNKNOWN", outcome: "unknown" };

/** How what got no answer ends, and what the same call is told from then on. */
export function endOf({ shows }: Pick<Subject, "shows">, thing: Thing, applied: boolean) {
  if (applied && shows.applied) {
    return { seen: { state: "SUCCEEDED", outcome: "APPLIED" }, again: ok(thing) };
  }
  if (!applied && shows.notApplied) {
    const reason = "RESTART_NOT_OBSERVED";
    return {
      seen: { state: "NOT_OBSERVED", outcome: "NOT_APPLIED", reason },
      again: { code: "aborted", reason, outcome: "not_applied" },
    };
  }
  const reason = "OUTCOME_UNRESOLVED";
  return {
    seen: { state: "UNRESOLVED", outcome: "UNKNOWN", reason },
    again: { code: "unknown", reason, outcome: "unknown" },
  };
}
