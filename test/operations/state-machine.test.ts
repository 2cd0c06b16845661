import { describe, expect, it, vi } from "vitest";
import { SCRIPTS, type Script } from "../support/fake-action.ts";
import { type Kind, type Path, type PlayOptions, type Point, playAll } from "./paths.ts";

// So that the pauses of whatever waits there pass on the fake clock too.
vi.mock("node:timers/promises", () => ({
  setTimeout: (ms: number, value: unknown, { signal }: { signal?: AbortSignal } = {}) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve(value), ms);
      signal?.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
    }),
}));

const KINDS: readonly Kind[] = ["cluster", "prompt cluster", "cloud", "opaque cloud"];

const POINTS: readonly Point[] = [
  "before W1",
  "after W1",
  "before W2",
  "after W2",
  "permitted",
  "answered",
  "after send",
  "before W3",
  "after W3",
  "before W3#2",
  "after W3#2",
  "before W4",
  "after W4",
  "before W4#2",
];

/** Where only an operation gets that is looked for. */
const LOOKING: ReadonlySet<Point> = new Set<Point>([
  "before W3#2",
  "after W3#2",
  "before W4",
  "after W4",
  "before W4#2",
]);

/** What ends with the vendor's answer: nothing is left to look for. */
const ANSWERED: ReadonlySet<Script> = new Set<Script>(["done", "refused", "unreachable"]);

type Stop = NonNullable<Path["stop"]>;
const HOWS: readonly Stop["how"][] = ["dies", "pauses", "pauses long"];

/** Every place where a script's process can die or be held up, in some of the ways. */
const stopsOf = (script: Script, hows: readonly Stop["how"][] = HOWS): Stop[] =>
  POINTS.filter((at) => !ANSWERED.has(script) || !LOOKING.has(at)).flatMap((at) => hows.map((how) => ({ at, how })));

const DUPLICATES: readonly Path["duplicate"][] = [
  undefined,
  { id: "same", at: "before W1" },
  { id: "same", at: "before W1", races: true },
  { id: "same", at: "after W1" },
  { id: "same", at: "permitted" },
  { id: "same", at: "after send" },
  { id: "other", at: "before W1" },
  { id: "other", at: "permitted" },
  { id: "other", at: "after W3" },
];

/** Where a target is frozen that a call is under way to. */
const FREEZES = ["before W1", "after W1", "before W2", "after W2", "permitted", "answered", "after W3"] as const;

const TROUBLES: readonly NonNullable<Path["trouble"]>[] = [
  ...(["W1", "W2", "W3", "W4"] as const).flatMap((write) =>
    (["lost", "committed"] as const).map((doubt) => ({ write, doubt })),
  ),
  ...(["after W1", "before W2", "after W2", "answered", "after W3", "before W4"] as const).map((cancel) => ({
    cancel,
  })),
  ...(["before W1", "after W1", "after W2", "permitted", "answered", "before W3"] as const).map((leave) => ({ leave })),
  ...FREEZES.map((freeze) => ({ freeze })),
];

const all = <Part>(make: (script: Script) => readonly Part[]): Part[] => SCRIPTS.flatMap(make);

/** A process that dies or is held up, at every point, while somebody else calls too. */
const stopped = (kind: Kind, hows: readonly Stop["how"][]): Path[] =>
  all((script) =>
    DUPLICATES.flatMap((duplicate) =>
      [undefined, ...stopsOf(script, hows)].map((stop) => ({ kind, script, duplicate, stop })),
    ),
  );

/** A write of which nobody knows, a cancel or a caller who leaves, at every point, while somebody else calls too. */
const troubled = (kind: Kind): Path[] =>
  all((script) =>
    DUPLICATES.flatMap((duplicate) => TROUBLES.map((trouble): Path => ({ kind, script, duplicate, trouble }))),
  );

/** Both at once. */
const stoppedInTrouble = (kind: Kind, hows: readonly Stop["how"][]): Path[] =>
  all((script) =>
    stopsOf(script, hows).flatMap((stop) => TROUBLES.map((trouble): Path => ({ kind, script, stop, trouble }))),
  );

/** Everything with everything: hundreds of thousands of paths, for whoever has a quarter of an hour. */
const product = (): Path[] =>
  KINDS.flatMap((kind) =>
    all((script) =>
      [undefined, ...stopsOf(script)].flatMap((stop) =>
        DUPLICATES.flatMap((duplicate) =>
          [undefined, ...TROUBLES].map((trouble): Path => ({ kind, script, stop, duplicate, trouble })),
        ),
      ),
    ),
  );

/** A few of what is wrong, each with the first path that it was found on. */
function summary(wrong: ReadonlyMap<Path, readonly string[]>): string[] {
  const kinds = new Map<string, { path: Path; count: number }>();
  for (const [path, found] of wrong) {
    for (const one of found) {
      const kind = kinds.get(one);
      if (kind === undefined) kinds.set(one, { path, count: 1 });
      else kind.count++;
    }
  }
  return [...kinds].map(([one, { path, count }]) => `${one} (${count} paths, e.g. ${JSON.stringify(path)})`);
}

/** What can go wrong on a path, each by the place where it does. */
const PARTS = ["stop", "duplicate", "trouble"] as const;

const withOnly = ({ kind, alone = false, script, ...path }: Path, part?: (typeof PARTS)[number]): Path => ({
  kind,
  alone,
  script,
  ...(part && { [part]: path[part] }),
});

/** Where a path has to get to, for a part of it to go wrong. */
const placeOf = (path: Path, part: (typeof PARTS)[number]): string | undefined =>
  part === "trouble" ? Object.values(path.trouble ?? {})[0] : path[part]?.at;

/** Where the paths got to on which at most one thing goes wrong. */
const known = new Map<string, ReadonlySet<string>>();

/**
 * What is wrong with any of the paths: nothing. Where one thing goes wrong alone, and nobody gets to the place of the other one, the two
 * together are the same path; it is played once.
 */
async function isSound(paths: readonly Path[]): Promise<void> {
  const simple = new Map<string, Path>();
  for (const path of paths) {
    for (const one of [withOnly(path), ...PARTS.map((part) => withOnly(path, part))]) {
      const key = JSON.stringify(one);
      if (!known.has(key)) simple.set(key, one);
    }
  }
  const got: PlayOptions["got"] = (path, places) => known.set(JSON.stringify(path), places);
  const wrong = await playAll([...simple.values()], { got });
  const rest = paths.filter((path) => {
    const parts = PARTS.filter((part) => path[part] !== undefined);
    return (
      parts.length > 1 &&
      parts.every((one) =>
        parts.every((other) => {
          const places = known.get(JSON.stringify(withOnly(path, one)));
          return one === other || places?.has(placeOf(path, other) ?? "");
        }),
      )
    );
  });
  console.log(`${paths.length} paths, of which ${simple.size + rest.length} differ from those played before`);
  expect(summary(new Map([...wrong, ...(await playAll(rest))]))).toEqual([]);
}

describe("the state machine", { timeout: 300_000 }, () => {
  it("survives death and pauses anywhere, with a vendor that shows everything and frees its targets early", () =>
    isSound(stopped("cluster", HOWS)));

  it("survives death and pauses anywhere, where acceptance and permit are one write", () =>
    isSound(stopped("prompt cluster", HOWS)));

  it("survives death and trouble anywhere, where the caller is answered before the outcome is stored", () =>
    isSound(
      [
        ...stopped("prompt cluster", ["dies"]),
        ...troubled("prompt cluster"),
        ...stoppedInTrouble("prompt cluster", ["dies"]),
      ].map((path) => ({ ...path, alone: true })),
    ));

  it("survives death and pauses anywhere, with a vendor that keeps its targets until the end", () =>
    isSound(stopped("cloud", ["dies"])));

  it("survives death and pauses anywhere, with a vendor that shows only what it gave an id", () =>
    isSound(stopped("opaque cloud", ["dies", "pauses long"])));

  it("survives doubtful commits, cancels, freezes and callers who leave, while others call too", () =>
    isSound([...troubled("cluster"), ...troubled("prompt cluster"), ...troubled("opaque cloud")]));

  it("survives death and pauses while commits are in doubt, cancels, freezes and callers who leave", () =>
    isSound(
      ["cluster" as const, "prompt cluster" as const].flatMap((kind) =>
        stoppedInTrouble(kind, ["dies", "pauses long"]),
      ),
    ));

  it.runIf(process.env.RESTARTD_EVERY_PATH === "1")("survives everything at once", { timeout: 3_600_000 }, () =>
    isSound(product()),
  );

  it("is caught when it sends again what has no outcome yet", async () => {
    const resends: PlayOptions = {
      decorate: (action, vendor) => ({
        ...action,
        observe: async (operation, request, signal) => {
          if (operation.state === "UNKNOWN") await vendor.restart(operation.target, operation.name);
          return action.observe(operation, request, signal);
        },
      }),
    };
    const wrong = await playAll(negative("reset", "permitted"), resends);
    expect([...wrong.values()].flat()).toContainEqual(expect.stringMatching(/^executed \d+ times$/));
    expect(await playAll(negative("reset", "permitted"))).toEqual(new Map());
  });

  it("is caught when it sends before it is stored", async () => {
    const premature: PlayOptions = {
      decorate: (action) => ({
        ...action,
        send: (request, plan, sending) =>
          action.send(request, plan, {
            ...sending,
            permit: async (evidence) => {
              void sending.permit(evidence).catch(() => {});
              return () => {};
            },
          }),
      }),
    };
    const paths = (["lost", "committed"] as const).map(
      (doubt): Path => ({ kind: "prompt cluster", script: "ok", trouble: { write: "W1", doubt } }),
    );
    const wrong = await playAll(paths, premature);
    expect([...wrong.values()].flat()).toContain("executed while not stored, blocking undefined");
    expect(await playAll(paths)).toEqual(new Map());
  });

  it("is caught when it waits for ever for an end that nothing shows", async () => {
    const paths: Path[] = KINDS.map((kind) => ({ kind, script: "end unseen" }));
    const wrong = await playAll(paths, {
      decorate: (action) => ({ ...action, endsWithinMs: Number.POSITIVE_INFINITY }),
    });
    expect([...wrong.values()].flat()).toContain("an operation did not end");
    expect(await playAll(paths)).toEqual(new Map());
  });

  it.each([
    ["stand in the memory of one process alone", "own"],
    ["are judged, and may have changed when the permit is written", "unguarded"],
  ] as const)("is caught when freezes %s", async (_, freezes) => {
    const paths = (["cluster", "prompt cluster", "cloud"] as const).flatMap((kind) =>
      (["before W1", "before W2"] as const).map((freeze): Path => ({ kind, script: "ok", trouble: { freeze } })),
    );
    const wrong = await playAll(paths, { freezes });
    expect([...wrong.keys()].map(({ kind, trouble }) => ({ kind, trouble }))).toEqual(
      paths.map(({ kind, trouble }) => ({ kind, trouble })),
    );
    expect(new Set([...wrong.values()].flat())).toEqual(
      new Set(["executed in spite of a freeze, without a permit of before"]),
    );
    expect(await playAll(paths)).toEqual(new Map());
  });

  it("is caught when a permit is no compare-and-set", async () => {
    const wrong = await playAll(negative("ok", "before W2"), { compareAndSet: false });
    expect([...wrong.values()].flat()).toContain("CANCELLED became SENDING as if it had been ACCEPTED");
    expect([...wrong.values()].flat()).toContain("answered as not applied (CANCELLED), executed");
    expect(await playAll(negative("ok", "before W2"))).toEqual(new Map());
  });
});

/** What the negative controls are played on: a second call with the same request_id, and every way of dying. */
const negative = (script: Script, at: Point): Path[] =>
  stopsOf(script).map((stop): Path => ({ kind: "cluster", script, stop, duplicate: { id: "same", at } }));
