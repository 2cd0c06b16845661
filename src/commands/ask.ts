import type { Acknowledgement, Subject, Verb } from "../core/command.ts";
import { plain } from "../core/plain.ts";
import type { ClientContext } from "./client.ts";

/** Where a person is asked. */
type Terminal = Pick<ClientContext, "ask" | "err">;

/**
 * Whether all of these are meant.
 *
 * @throws CannotAsk where nobody can be asked
 */
export async function askAbout(verb: Verb, subjects: readonly Subject[], { ask, err }: Terminal): Promise<boolean> {
  if (ask === undefined) {
    throw new CannotAsk(`these are ${subjects.length} targets, and nobody can be asked here: say --yes`);
  }
  for (const { label } of subjects) err(`  ${plain(label)}\n`);
  const all = subjects.length === 1 ? "this one" : `these ${subjects.length}`;
  const word = `${verb.charAt(0).toUpperCase()}${verb.slice(1)}`;
  return isYes(await ask(`${word} ${all}? [y/N] `));
}

const isYes = (answer: string | undefined): boolean => /^y(es)?$/i.test(answer?.trim() ?? "");

/** Whether a person accepts what may be lost. */
export async function acknowledge(
  what: Acknowledgement,
  subject: Subject,
  sentences: readonly string[],
  { ask, err }: Terminal,
): Promise<boolean> {
  for (const sentence of sentences) err(`${plain(subject.label)}: ${plain(sentence)}\n`);
  if (what === "outage") return isYes(await ask?.(`Go on with ${plain(subject.label)}? [y/N] `));
  const answer = await ask?.(`Type the name, ${plain(subject.name)}, to go on: `);
  return answer?.trim() === subject.name;
}

/** Whether a person goes on in spite of a freeze, whose name is typed. */
export async function passFreeze(
  freeze: string,
  subject: Subject,
  sentences: readonly string[],
  { ask, err }: Terminal,
): Promise<boolean> {
  for (const sentence of sentences) err(`${plain(subject.label)} is frozen: ${plain(sentence)}\n`);
  const answer = await ask?.(`Type the name of the freeze, ${plain(freeze)}, to go on: `);
  return answer?.trim() === freeze;
}

/** Somebody has to be asked, and nobody is there. */
export class CannotAsk extends Error {
  override readonly name = "CannotAsk";
}
