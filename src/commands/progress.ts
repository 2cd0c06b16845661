import { plain } from "../core/plain.ts";
import type { ClientContext, Terminal } from "./client.ts";

/** How far a target has come. */
export interface Step {
  readonly text: string;
  /** Out of `of`; a bar is drawn where both are known. */
  readonly done?: number;
  readonly of?: number;
  /** Why it hangs. */
  readonly detail?: string;
}

/** Shows how targets come along. */
export interface Progress {
  /** @param target its number, from 0. */
  step(target: number, step: Step): void;
  /** The last line of a target; `text` empty where what it ended with is said elsewhere. */
  end(target: number, text: string): void;
  /** Stops what it does by itself, and gives the terminal back. */
  close(): void;
}

/** Whoever wants none. */
export const SILENT: Progress = { step: () => {}, end: () => {}, close: () => {} };

/** After so long (ms) without a change a line says that it is still waited. */
const HEARTBEAT_MS = 60_000;

/** Where lines go. */
export interface Lines extends Pick<ClientContext, "now"> {
  readonly write: (text: string) => void;
  /** Takes what is said beside the results. */
  readonly aside: (text: string) => void;
  readonly heartbeatMs?: number;
}

/** Plain lines, one per change. Each begins with its target when there are several. */
export function linesProgress(
  labels: readonly string[],
  { write, aside, now, heartbeatMs = HEARTBEAT_MS }: Lines,
): Progress {
  const began = now();
  const last = labels.map(() => "");
  const details = labels.map(() => "");
  const timers: (NodeJS.Timeout | undefined)[] = labels.map(() => undefined);
  const line = (target: number, text: string): void => write(`${labelled(labels, target, text)}\n`);
  const arm = (target: number): void => {
    clearInterval(timers[target]);
    timers[target] = setInterval(
      () => line(target, `still waiting (${goDuration(now() - began)}): ${last[target]}`),
      heartbeatMs,
    );
  };
  return {
    step(target, { text, detail = "" }) {
      if (detail !== "" && detail !== details[target]) aside(`${plain(labels[target] ?? "")}: ${plain(detail)}\n`);
      details[target] = detail;
      if (text === "" || text === last[target]) return;
      last[target] = text;
      line(target, text);
      arm(target);
    },
    end(target, text) {
      clearInterval(timers[target]);
      if (text !== "" && text !== last[target]) line(target, text);
    },
    close() {
      for (const timer of timers) clearInterval(timer);
    },
  };
}

/** A line, which begins with its target when there are several. */
function labelled(labels: readonly string[], target: number, text: string): string {
  const label = labels[target] ?? "";
  const isSaid = text.startsWith(`${label} `) || text.startsWith(`${label}: `);
  return plain(labels.length > 1 && !isSaid ? `${label}: ${text}` : text);
}

/** Milliseconds as Go writes them: `1m0s`. */
export function goDuration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor((seconds % 3600) / 60)];
  return `${hours > 0 ? `${hours}h` : ""}${seconds >= 60 ? `${minutes}m` : ""}${seconds % 60}s`;
}

/** At most so often (ms) lines are drawn. */
const DRAW_MS = 100;

/** Characters of a bar. */
const BAR = 20;

/** What the line has said already: whom kubectl waits for. */
const NAMED = /^Waiting for .+ rollout to finish: /;

const ERASE = "\r\x1b[2K";

/** One line for each target, rewritten in place. */
export function terminalProgress(
  labels: readonly string[],
  terminal: Terminal,
  { out, now }: Pick<ClientContext, "out" | "now">,
): Progress {
  const began = now();
  const steps: Step[] = labels.map(() => ({ text: "" }));
  const over = labels.map(() => false);
  let drawn = 0;
  let closed = false;
  let wanted = false;

  const lineOf = (target: number): string => {
    const { text, done, of, detail = "" }: Step = steps[target] ?? { text: "" };
    const since = goDuration(now() - began);
    const label = plain(labels[target] ?? "");
    const bar =
      done === undefined || of === undefined || of <= 0
        ? ""
        : `[${"#".repeat(Math.round((BAR * done) / of)).padEnd(BAR, ".")}] `;
    const head = `${label}  ${bar}`;
    // A narrower terminal cuts the message, not the name.
    const room = Math.max(0, terminal.columns - 1 - head.length - since.length - 2);
    const sentence = text.startsWith(`${label}: `) ? text.slice(label.length + 2) : text.replace(NAMED, "");
    const message = plain(detail === "" ? sentence : `${detail}: ${sentence}`);
    const cut = message.length > room ? `${message.slice(0, Math.max(0, room - 3))}...`.slice(0, room) : message;
    return `${head}${cut}  ${since}`.slice(0, Math.max(label.length, terminal.columns - 1));
  };
  const erase = (): string => (drawn === 0 ? "" : `${ERASE}${`\x1b[1A${ERASE}`.repeat(drawn - 1)}`);
  const draw = (): void => {
    if (closed) return;
    const going = labels.flatMap((_, target) => (over[target] ? [] : [target]));
    const shown = going.slice(0, Math.max(1, terminal.rows - 1));
    out(`${erase()}${shown.map(lineOf).join("\r\n")}`);
    drawn = shown.length;
  };
  terminal.cursor(false);
  const clock = setInterval(draw, 1000); // the time goes on
  return {
    step(target, step) {
      steps[target] = step;
      if (wanted || closed) return;
      wanted = true;
      setTimeout(() => {
        wanted = false;
        draw();
      }, DRAW_MS);
    },
    end(target, text) {
      if (closed) return;
      over[target] = true;
      const sentence = text === "" ? "" : `${labelled(labels, target, text)}  (${goDuration(now() - began)})\r\n`;
      out(`${erase()}${sentence}`);
      drawn = 0;
      if (over.includes(false)) draw();
    },
    close() {
      if (closed) return;
      clearInterval(clock);
      out(erase());
      terminal.cursor(true);
      closed = true;
    },
  };
}
