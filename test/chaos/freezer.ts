import { setTimeout as delay } from "node:timers/promises";
import { answerOf } from "./client.ts";
import type { Clients, Job } from "./clients.ts";
import type { Fleet } from "./fleet.ts";
import type { System } from "./system.ts";

/** So many targets are frozen together, in most cases one of each system. */
const FROZEN = 5;
/** A freeze lasts until a server has been lost and callers have been told of it so often since, */
const TOLD = 5;
/** and at most so long (ms). */
const LONGEST_MS = 8_000;

/** What freezes showed. */
export interface Frozen {
  /** Freezes that were made and lifted. */
  readonly freezes: number;
  /** Those among them that callers were told of after a server was lost. */
  readonly survived: number;
  /** How often callers were told FROZEN. */
  readonly told: number;
  /** What was restarted in spite of a freeze, in words. */
  readonly thawed: readonly string[];
}

/**
 * Freezes targets that nobody has asked for yet, which have no permit therefore, has everybody ask for them once that was answered, and
 * looks that nothing reached them before it asks for the freeze to be lifted.
 */
export class Freezer implements Frozen {
  freezes = 0;
  survived = 0;
  readonly thawed: string[] = [];
  readonly #systems: readonly System[];
  readonly #fleet: Fleet;
  readonly #clients: Clients;
  readonly #work: Promise<void>;
  #calm = false;

  constructor(systems: readonly System[], fleet: Fleet, clients: Clients) {
    this.#systems = systems;
    this.#fleet = fleet;
    this.#clients = clients;
    this.#work = this.#run();
    this.#work.catch(() => {}); // `calm` tells
  }

  get told(): number {
    return this.#clients.told.filter(({ reason }) => reason === "FROZEN").length;
  }

  /** From now on nothing new is frozen; resolves when nothing is frozen any more. */
  async calm(): Promise<void> {
    this.#calm = true;
    await this.#work;
  }

  async #run(): Promise<void> {
    while (!this.#calm) {
      const jobs = this.#clients.hold(FROZEN);
      if (jobs.length === 0) return;
      await this.#freeze(`chaos-${this.freezes}`, jobs);
      this.freezes += 1;
    }
  }

  async #freeze(name: string, jobs: readonly Job[]): Promise<void> {
    const targets = jobs.flatMap((job) => job.targets);
    await this.#ask("CreateFreeze", { name, targets, reason: "chaos" });
    this.#clients.release(jobs);
    const [begun, losses] = [performance.now(), this.#losses];
    let told = Number.POSITIVE_INFINITY;
    while (!this.#calm && this.told < told + TOLD && performance.now() < begun + LONGEST_MS) {
      await delay(50);
      if (this.#losses > losses) told = Math.min(told, this.told);
    }
    if (this.told > told) this.survived += 1;
    for (const target of targets) {
      const applied = this.#systems.find((system) => system.targets.includes(target))?.applied(target) ?? 0;
      if (applied > 0) this.thawed.push(`${target} was restarted ${applied} times while ${name} was in force`);
    }
    await this.#ask("LiftFreeze", { name, reason: "over" });
  }

  get #losses(): number {
    return this.#fleet.losses.kills;
  }

  /** Asks until it is done: an answer that is lost says nothing. */
  async #ask(method: string, body: object): Promise<void> {
    for (;;) {
      const { ok, reason } = await answerOf(this.#fleet.url, `restart.access.v1.FreezeService/${method}`, body);
      if (ok || (method === "LiftFreeze" && reason === "FREEZE_NOT_FOUND")) return;
      await delay(100);
    }
  }
}
