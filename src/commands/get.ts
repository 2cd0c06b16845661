import { toJson } from "@bufbuild/protobuf";
import { CommandMistake, type Listing, type ListWord, type Row } from "../core/command.ts";
import { nearName } from "../core/near-name.ts";
import { plain } from "../core/plain.ts";
import { LIST_WORDS } from "../targets/commands.ts";
import type { Client, ClientContext } from "./client.ts";
import { EXIT, worstOf } from "./exit.ts";
import type { Parsed } from "./parse.ts";
import { problemOfStatus, sentenceOf, statusesRegistry } from "./problem.ts";
import { renderAge, tableOf } from "./render.ts";
import { documentOf } from "./yaml.ts";

/** Lists what there is, and answers the exit code. */
export async function get(parsed: Parsed, client: () => Client, context: ClientContext): Promise<number> {
  const { words, names } = narrowed(parsed.operands);
  const selector = parsed.text("selector") ?? "";
  const groups = groupsOf(words);
  const server = client();
  const listings: Listing[] = [];
  for (const { word, types } of groups) {
    if (selector !== "" && !word.words.some((each) => /^(workloads|deployments)$/.test(each))) {
      throw new CommandMistake(`${types.join(",")} have no labels: leave -l out`);
    }
    listings.push(await word.list({ types, names, selector }, server));
  }
  for (const listing of listings) print(listing, parsed, context);
  const missing = listings.flatMap(({ unavailable = [] }) => unavailable).map(problemOfStatus);
  for (const problem of missing) context.err(`error: ${sentenceOf(problem)}\n`);
  const rows = listings.flatMap((listing) => listing.rows);
  const absent = names.filter((name) => !rows.some((row) => isCalled(row, name)));
  for (const name of absent) context.err(`error: there is no ${plain(words.join(","))} ${plain(name)}\n`);
  if (rows.length === 0 && missing.length === 0 && absent.length === 0) context.err("nothing found\n");
  return worstOf([...missing.map(({ exit }) => exit), ...absent.map(() => EXIT.REFUSED)]);
}

/** Whether a row is what somebody calls so: by its id, or by its name. */
function isCalled({ name, cells }: Row, called: string): boolean {
  const words = [name.slice(name.indexOf("/") + 1), ...cells.slice(0, 2)];
  return words.some((word) => typeof word === "string" && word.toLowerCase() === called.toLowerCase());
}

function narrowed(operands: readonly string[]): {
  readonly words: readonly string[];
  readonly names: readonly string[];
} {
  const [first, ...rest] = operands;
  if (first === undefined) {
    throw new CommandMistake(`what is missing: use one of ${LIST_WORDS.map(({ words }) => words[0]).join(", ")}`);
  }
  if (!first.includes("/")) return { words: first.split(","), names: rest };
  const [type = "", name = ""] = first.split("/");
  if (rest.length > 0 || name === "") throw new CommandMistake("get takes one TYPE/NAME, or a TYPE and names");
  return { words: [type], names: [name] };
}

/** The lists that words stand for: words of the same list are asked for in one. */
function groupsOf(words: readonly string[]): { readonly word: ListWord; readonly types: string[] }[] {
  const groups: { readonly word: ListWord; readonly types: string[] }[] = [];
  for (const each of words) {
    const lower = each.toLowerCase();
    const word =
      LIST_WORDS.find((candidate) => candidate.words.includes(lower)) ??
      LIST_WORDS.find((candidate) => candidate.takes?.(lower));
    if (word === undefined) {
      const near = nearName(
        lower,
        LIST_WORDS.flatMap((candidate) => candidate.words),
      );
      throw new CommandMistake(
        `there is nothing called ${JSON.stringify(each)} to list${near === undefined ? "" : `; did you mean ${near}?`}`,
      );
    }
    const group = groups.find((candidate) => candidate.word === word);
    if (group === undefined) groups.push({ word, types: [lower] });
    else group.types.push(lower);
  }
  return groups;
}

function print({ columns, wideColumns, rows }: Listing, parsed: Parsed, { out, now }: ClientContext): void {
  const format = parsed.text("output");
  if (format === "name") {
    for (const { name } of rows) out(`${plain(name)}\n`);
  } else if (format === "json") {
    for (const row of rows) out(documentOf("json", jsonOf(row)));
  } else if (format === "yaml") {
    const documents = rows.map((row) => documentOf("yaml", jsonOf(row)));
    out(documents.join("").replace(/^---\n/, ""));
  } else if (rows.length > 0) {
    const wide = format === "wide";
    const head = wide ? [...columns, ...wideColumns] : columns;
    const shown = (cell: string | Date): string =>
      cell instanceof Date ? renderAge(now() - cell.getTime()) : plain(cell);
    const lines = rows.map((row) => (wide ? [...row.cells, ...row.wide] : row.cells).map(shown));
    out(tableOf(parsed.has("no-headers") ? lines : [head, ...lines]));
  }
}

const jsonOf = ({ schema, message }: Row) => toJson(schema, message, { registry: statusesRegistry });
