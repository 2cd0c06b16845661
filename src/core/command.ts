import type { DescMessage, DescService, Message } from "@bufbuild/protobuf";
import type { CallOptions, Transport } from "@connectrpc/connect";
import type { Status } from "../../gen/google/rpc/status_pb.ts";

/** What a command does to its targets. */
export type Verb = "restart" | "refresh" | "retry" | "flush";

/** What may have to be accepted before something is lost: the last words of the request's field and of the flag. */
export type Acknowledgement = "data-loss" | "outage" | "deletion";

/** A command line that names something wrong. Its message says what to write instead. */
export class CommandMistake extends Error {
  override readonly name = "CommandMistake";
}

/** Where things are looked for: flags, or the context's defaults. */
export interface Scope {
  readonly cluster?: string | undefined;
  readonly namespace?: string | undefined;
  readonly allNamespaces?: boolean | undefined;
  readonly site?: string | undefined;
  readonly project?: string | undefined;
  readonly enterpriseProject?: string | undefined;
}

/** A server that can be asked. */
export interface Session {
  readonly transport: Transport;
  readonly scope: Scope;
  /** Options of a call that reads. */
  readonly reading: CallOptions;
}

/** What is to be done to which targets of one TYPE. */
export interface Wanted {
  readonly verb: Verb;
  /** As it was written. */
  readonly type: string;
  /** Empty where `selector` or `all` says which. */
  readonly names: readonly string[];
  /** A label selector; empty for none. */
  readonly selector: string;
  readonly manner: Manner;
}

/** How something is restarted; unsaid means the target's own default. */
export type Manner = "soft" | "hard" | undefined;

/** How one call is made. */
export interface Wish {
  readonly requestId: string;
  readonly validateOnly: boolean;
  readonly reason: string;
  readonly acknowledged: ReadonlySet<Acknowledgement>;
  /** Whether it goes on although a freeze is in the way. */
  readonly overrideFreeze: boolean;
}

/** What the server answered. */
export interface Sent {
  /** Behind the sentence: `(job 123)`. */
  readonly note?: string;
  /** operations/{id} of this very target, where the header has another. */
  readonly operation?: string;
  /** The failure of this target, of a call that did not fail. */
  readonly error?: Status | undefined;
}

/** How far a rollout has come. */
export interface RolloutStep {
  /** In kubectl's words. */
  readonly message: string;
  /** Why it hangs; empty when that is not known. */
  readonly detail: string;
  /** Out of {@link RolloutStep.of}. */
  readonly done: number;
  readonly of: number;
  readonly complete: boolean;
  /** The whole answer. */
  readonly schema: DescMessage;
  readonly answer: Message;
}

/** Something that can be changed. */
export interface Subject {
  /** Resource name. */
  readonly target: string;
  /** What is printed: `deployment.apps/web`. */
  readonly label: string;
  /** What people call it: what they type before something is lost. */
  readonly name: string;
  /** The vendor's word for what is done, as an operation's metadata has it. */
  readonly action: string;
  /** What is said of it afterwards: `soft restarted`. */
  readonly done: string;
  send(wish: Wish, options: CallOptions): Promise<Sent>;
  /**
   * Follows a rollout where more of it is to be seen than its operation says.
   *
   * @param restartedAt marks the restart; empty for the one in place now.
   */
  rollout?(restartedAt: string, options: CallOptions): AsyncIterable<RolloutStep>;
}

/** One line of a list. */
export interface Row {
  /** TYPE/NAME, or a resource name. */
  readonly name: string;
  /** A time is shown by how long ago it was. */
  readonly cells: readonly (string | Date)[];
  /** What `-o wide` adds. */
  readonly wide: readonly string[];
  readonly schema: DescMessage;
  readonly message: Message;
}

/** What `get` prints. */
export interface Listing {
  readonly columns: readonly string[];
  readonly wideColumns: readonly string[];
  readonly rows: readonly Row[];
  /** Why a part is missing. */
  readonly unavailable?: readonly Status[];
}

/** Which rows are asked for. */
export interface Narrowing {
  /** The words that were written: one type, or several of the same target. */
  readonly types: readonly string[];
  readonly names: readonly string[];
  readonly selector: string;
}

/** Something that `get` lists. */
export interface ListWord {
  /** What it is called on the command line; the first is the one that help shows. */
  readonly words: readonly string[];
  /** Whether a word that is not among {@link words} is meant. */
  takes?(word: string): boolean;
  list(narrowing: Narrowing, session: Session): Promise<Listing>;
}

/** A target's part of the command line. */
export interface TargetCommand {
  /** What it asks; operations may hold its answers. */
  readonly service: DescService;
  /** TYPE words, for help and completion; the first of each kind is the one that help shows. */
  readonly types: readonly string[];
  /** Whether it knows label selectors. */
  readonly selects?: true;
  /** What can be done to its things. */
  readonly verbs: readonly Verb[];
  /** Whether a TYPE is one of its own. */
  takes(type: string): boolean;
  /**
   * The targets of a TYPE.
   *
   * @throws CommandMistake, ConnectError
   */
  find(wanted: Wanted, session: Session): Promise<readonly Subject[]>;
  /** Reads a resource name by its decoded segments; undefined for one of another kind. */
  named(segments: readonly string[], wanted: Pick<Wanted, "verb" | "manner">, session: Session): Named | undefined;
  readonly lists: readonly ListWord[];
}

/** A target by its resource name; reading what it is called may need the server. */
export type Named = Subject | Promise<Subject>;

/**
 * The one that is meant where nothing says which: the only one that there is.
 *
 * @param flag without dashes: `cluster`.
 * @param given what the flag or the context says.
 * @throws CommandMistake when there are several, or none
 */
export async function onlyOne(
  flag: string,
  given: string | undefined,
  list: () => Promise<readonly string[]>,
): Promise<string> {
  if (given !== undefined && given !== "") return given;
  const found = await list();
  const [only] = found;
  if (only === undefined) throw new CommandMistake(`the server has no ${flag}`);
  if (found.length > 1) throw new CommandMistake(`--${flag} is missing: choose one of ${found.join(", ")}`);
  return only;
}

/** Reads every page of a list. */
export async function everyPage<Page extends { readonly nextPageToken: string }, Item>(
  read: (pageToken: string) => Promise<Page>,
  itemsOf: (page: Page) => readonly Item[],
): Promise<Item[]> {
  const items: Item[] = [];
  for (let token = ""; ; ) {
    const page = await read(token);
    items.push(...itemsOf(page));
    token = page.nextPageToken;
    if (token === "") return items;
  }
}

/** A resource name of segments that may hold anything. */
export const resourceName = (...segments: readonly string[]): string => segments.map(encodeURIComponent).join("/");

/**
 * The things of a TYPE whose names people write, or whose ids: by an id, else by a name that one alone has, else as it is written, which
 * the server judges.
 *
 * @param list what there is; a caller who may not list names ids.
 * @throws CommandMistake when several have that name
 */
export async function idsOf<Item extends { readonly id: string; readonly name: string }>(
  type: string,
  names: readonly string[],
  list: () => Promise<readonly Item[]>,
): Promise<readonly (Item | { readonly id: string; readonly name: string })[]> {
  const found = names.length === 0 ? await list() : await list().catch((): readonly Item[] => []);
  if (names.length === 0) return found;
  return names.map((written) => {
    const byId = found.find(({ id }) => id.toLowerCase() === written.toLowerCase());
    if (byId !== undefined) return byId;
    const called = found.filter(({ name }) => name === written);
    if (called.length > 1) {
      throw new CommandMistake(
        `several are called ${type}/${written}: write the id, one of ${called.map(({ id }) => id).join(", ")}`,
      );
    }
    return called[0] ?? { id: written, name: written };
  });
}
