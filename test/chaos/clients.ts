import { randomUUID } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { isDefinite, type Manner, restart } from "./client.ts";
import type { Fleet } from "./fleet.ts";
import type { Random } from "./random.ts";
import type { Ask, System } from "./system.ts";
import type { Told } from "./verdicts.ts";

/** A restart that somebody wants. */
export interface Job {
  readonly ask: Ask;
  readonly targets: readonly string[];
  /** Empty: each call is another restart. */
  readonly requestId: string;
}

const CLIENTS = 16;
/** A further request_id comes into use at most so often (ms), */
const RELEASE_MS = 60;
/** and only while less than so many wait for their first definite answer: a slow machine gets less to do. */
const WAITING = 50;
/** So many definite answers are asked for, the later ones by blind repetition. */
const ANSWERS = 3;

/** Callers that repeat a request until they know, and then again. */
export class Clients {
  readonly told: Told[] = [];
  readonly #systems: readonly System[];
  readonly #jobs: Job[];
  readonly #definite = new Map<Job, number>();
  readonly #fleet: Fleet;
  readonly #random: Random;
  readonly #work: Promise<unknown>;
  #released = 0;
  #nextRelease = 0;
  #calm = false;
  #over = false;

  constructor(systems: readonly System[], fleet: Fleet, random: Random) {
    this.#systems = systems;
    this.#jobs = inTurn(systems);
    this.#fleet = fleet;
    this.#random = random;
    this.#work = Promise.all(Array.from({ length: CLIENTS }, () => this.#run()));
    this.#work.catch(() => {}); // `finished` tells
  }

  /** Takes some jobs out that nobody has asked for, where so many are left. */
  hold(count: number): Job[] {
    return this.#jobs.length - this.#released < count ? [] : this.#jobs.splice(-count);
  }

  /** From now on jobs that were taken out are asked for. */
  release(jobs: readonly Job[]): void {
    this.#jobs.splice(this.#released, 0, ...jobs);
    this.#released += jobs.length;
  }

  /** From now on nothing new is begun: what was begun is brought to its end. */
  calm(): void {
    this.#calm = true;
  }

  /** Resolves when every caller knows, or when it has taken too long. */
  async finished(limitMs: number): Promise<void> {
    const limit = setTimeout(() => {
      this.#over = true;
    }, limitMs);
    await this.#work;
    clearTimeout(limit);
  }

  /** request_ids whose callers have not learned how they ended. */
  get unanswered(): string[] {
    return this.#jobs
      .slice(0, this.#released)
      .filter((job) => this.#count(job) === 0)
      .map(({ requestId, ask }) => `${requestId} ${JSON.stringify(ask)}`);
  }

  async #run(): Promise<void> {
    while (!this.#over) {
      const job = this.#next();
      if (job === undefined && this.#calm) return;
      if (job !== undefined) await this.#ask(job);
      await delay(this.#random.between(30, 200));
    }
  }

  #next(): Job | undefined {
    const { chance, pick } = this.#random;
    if (!this.#calm) {
      this.#release();
      if (chance(0.1)) {
        const system = pick(this.#systems);
        const targets = [pick(system.shared)];
        return { ask: system.ask(targets), targets, requestId: chance(0.5) ? "" : randomUUID() };
      }
    }
    const enough = this.#calm ? 1 : ANSWERS;
    const open = this.#jobs.slice(0, this.#released).filter((job) => this.#count(job) < enough);
    return open.length === 0 ? undefined : pick(open);
  }

  #release(): void {
    const waiting = this.#jobs.slice(0, this.#released).filter((job) => this.#count(job) === 0);
    if (waiting.length >= WAITING || performance.now() < this.#nextRelease) return;
    this.#nextRelease = performance.now() + RELEASE_MS;
    this.#released = Math.min(this.#released + 1, this.#jobs.length);
  }

  async #ask(job: Job): Promise<void> {
    const { chance, pick, between } = this.#random;
    const manner: Manner = this.#calm
      ? { deadlineMs: undefined, patienceMs: 20_000 }
      : {
          deadlineMs: pick([undefined, undefined, 400, 3_000]),
          patienceMs: chance(0.15) ? between(20, 600) : 8_000,
        };
    const { ask, requestId } = job;
    const calls = Array.from({ length: chance(0.3) ? 2 : 1 }, () => restart(this.#fleet.url, ask, requestId, manner));
    for (const told of await Promise.all(calls)) {
      this.told.push(told);
      if (isDefinite(told)) this.#definite.set(job, this.#count(job) + 1);
    }
  }

  #count(job: Job): number {
    return this.#definite.get(job) ?? 0;
  }
}

/** A call of each system after the other, so that all of them are at work at any time. */
function inTurn(systems: readonly System[]): Job[] {
  const calls = systems.map((system) =>
    system.once.map((targets) => ({ ask: system.ask(targets), targets, requestId: randomUUID() })),
  );
  const longest = Math.max(...calls.map(({ length }) => length));
  return Array.from({ length: longest }, (_, turn) => calls.flatMap((of) => of.slice(turn, turn + 1))).flat();
}
