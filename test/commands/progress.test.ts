import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { goDuration, linesProgress, terminalProgress } from "../../src/commands/progress.ts";

/** What moves a terminal's cursor, and clears its lines. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: a terminal is told by them
const ESCAPES = /\u001b\[[0-9;?]*[a-zA-Z]/g;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const now = () => Date.now();

function lines(labels: readonly string[]) {
  const said: string[] = [];
  const write = (text: string) => void said.push(text);
  return { said, progress: linesProgress(labels, { write, aside: (text) => void said.push(`aside ${text}`), now }) };
}

describe("lines", () => {
  it("are one for each change, with the target's name when there are several", () => {
    const one = lines(["deployment.apps/web"]);
    for (const text of ["1 of 3", "1 of 3", "2 of 3"]) one.progress.step(0, { text });
    one.progress.end(0, "2 of 3");
    expect(one.said).toEqual(["1 of 3\n", "2 of 3\n"]);
    const two = lines(["a", "b"]);
    two.progress.step(1, { text: "x\u001b[2J", detail: "no node" });
    two.progress.step(1, { text: "y", detail: "no node" });
    two.progress.end(0, "a restarted");
    two.progress.close();
    expect(two.said).toEqual(["aside b: no node\n", "b: x\\u001b[2J\n", "b: y\n", "a restarted\n"]);
  });

  it("say once a minute that it is still waited, and no more after the end", () => {
    const { said, progress } = lines(["web"]);
    progress.step(0, { text: "1 of 3" });
    vi.advanceTimersByTime(121_000);
    progress.end(0, "");
    vi.advanceTimersByTime(600_000);
    expect(said).toEqual(["1 of 3\n", "still waiting (1m0s): 1 of 3\n", "still waiting (2m0s): 1 of 3\n"]);
  });

  it("tell durations as Go does", () => {
    expect([0, 59_999, 60_000, 3_661_000].map(goDuration)).toEqual(["0s", "59s", "1m0s", "1h1m1s"]);
  });
});

describe("a terminal", () => {
  function terminal(labels: readonly string[], columns: number, rows = 24) {
    let shown = "";
    const cursor: boolean[] = [];
    const screen = { columns, rows, cursor: (is: boolean) => void cursor.push(is) };
    const out = (text: string) => {
      shown += text;
    };
    return { cursor, text: () => shown, progress: terminalProgress(labels, screen, { out, now }) };
  }

  it("has no line wider than it, and cuts the message, not the name", () => {
    const { progress, text } = terminal(["deployment.apps/web"], 50);
    progress.step(0, { text: 'Waiting for deployment "web" rollout to finish: 1 out of 3', done: 1, of: 3 });
    vi.advanceTimersByTime(200);
    progress.close();
    const drawn = text()
      .replaceAll(ESCAPES, "")
      .split(/[\r\n]+/);
    expect(drawn.join("")).toContain("deployment.apps/web  [#######.............]");
    expect(Math.max(...drawn.map((line) => line.length))).toBeLessThan(50);
  });

  it("says of a target what its name does not say already", () => {
    const { progress, text } = terminal(["deployment.apps/web"], 120);
    const sentence = 'Waiting for deployment "web" rollout to finish: 1 out of 3 new replicas have been updated...';
    progress.step(0, { text: sentence, done: 1, of: 3 });
    vi.advanceTimersByTime(200);
    expect(text()).toContain(
      "deployment.apps/web  [#######.............] 1 out of 3 new replicas have been updated...  0s",
    );
    progress.step(0, { text: "deployment.apps/web: no proof yet" });
    vi.advanceTimersByTime(200);
    expect(text()).toContain("deployment.apps/web  no proof yet  0s");
    progress.close();
  });

  it("is drawn at most ten times a second, and never more lines than it has", () => {
    const labels = Array.from({ length: 20 }, (_, index) => `deployment.apps/web-${index}`);
    const { progress, text, cursor } = terminal(labels, 80, 5);
    for (let step = 0; step < 50; step++) {
      progress.step(step % 20, { text: `step ${step}` });
      vi.advanceTimersByTime(10);
    }
    const draws = text().split("deployment.apps/web-0 ").length - 1;
    expect(draws).toBeLessThanOrEqual(6);
    expect(text()).not.toContain("deployment.apps/web-4 ");
    progress.close();
    expect(cursor).toEqual([false, true]);
  });
});
