import { hash } from "node:crypto";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Validator } from "@bufbuild/protovalidate";
import { type Tokens as Section, type Token, TokenFileSchema } from "../../gen/restart/config/v1/authentication_pb.ts";
import { type NamedFile, readNamedFile } from "../config/file.ts";
import { TOKEN } from "../core/authenticators.ts";
import { Failure } from "../core/errors.ts";
import { type Principal, wrongGroups, wrongUsername } from "../core/principal.ts";
import { formatPath } from "../core/problem.ts";
import type { SectionReader } from "../core/section-reader.ts";
import type { Authenticated } from "./authenticated.ts";
import { type AccessOptions, fixed, type Reading, type Reloaded, reloadedFile } from "./reloaded.ts";
import { unauthenticated } from "./unauthenticated.ts";

/** Every static token, by its hash. */
export type Tokens = ReadonlyMap<string, Principal>;

const EMPTY = hash("sha256", "");

/** Tokens have 256 random bits, so that a plain hash of one cannot be tried out; a slow one would cost every call its time. */
export const hashOf = (token: string): string => hash("sha256", token);

/** Reads the section `authentication.tokens` and its file. */
export function readTokens(
  section: Section | undefined,
  reader: SectionReader,
  { validator, now }: Pick<AccessOptions, "validator" | "now">,
): Reloaded<Tokens> {
  if (section === undefined || section.file === "") return fixed(new Map());
  const named = { path: reader.resolve(section.file), file: section.file };
  return reloadedFile(named, ["authentication", "tokens", "file"], reader, () =>
    readTokenFile(named, validator, now()),
  );
}

/** Reads a file of tokens, and judges it. */
export function readTokenFile(named: NamedFile, validator: Validator, now: Date): Reading<Tokens> {
  const { message, report } = readNamedFile(TokenFileSchema, { ...named, list: true }, validator);
  return { value: checkTokens(message?.tokens ?? [], report.reader, now), ...report };
}

function checkTokens(list: readonly Token[], reader: SectionReader, now: Date): Tokens {
  const tokens = new Map<string, Principal>();
  const places = new Map<string, number>();
  const groupsOf = new Map<string, { readonly groups: string; readonly index: number }>();
  for (const [index, token] of list.entries()) {
    const hash = token.sha256.toLowerCase();
    const principal = principalOf(token, hash);
    const wrong = token.name === "" ? undefined : wrongUsername(TOKEN, token.name);
    if (wrong !== undefined) reader.problem([index, "name"], `must be a plain name: ${wrong}`);
    const wrongGroup = wrongGroups(TOKEN, token.groups);
    if (wrongGroup !== undefined) {
      reader.problem([index, "groups"], `must be at most 200 plain names: ${wrongGroup}`);
    }
    if (hash === EMPTY) reader.problem([index, "sha256"], "must not be the hash of the empty text");
    const twin = places.get(hash);
    if (twin !== undefined && hash !== "")
      reader.problem([index, "sha256"], `must be unique, but is that of ${place(twin)}`);
    const groups = JSON.stringify(principal.groups.toSorted());
    const namesake = groupsOf.get(token.name);
    if (namesake !== undefined && namesake.groups !== groups) {
      reader.problem(
        [index, "groups"],
        `must be the same as those of ${place(namesake.index)}, which has the same name`,
      );
    }
    if (principal.expireTime !== undefined && principal.expireTime <= now.getTime()) {
      reader.warning([index, "expires"], `the token of ${token.name} has expired: remove it`);
    }
    places.set(hash, index);
    groupsOf.set(token.name, namesake ?? { groups, index });
    tokens.set(hash, principal);
  }
  return tokens;
}

const place = (index: number): string => formatPath([index]);

const principalOf = ({ name, groups, expires }: Token, hash: string): Principal => ({
  id: `${TOKEN}:${name}`,
  authenticator: TOKEN,
  username: name,
  groups: groups.map((group) => `${TOKEN}:${group}`),
  claims: {},
  credential: `${TOKEN} ${name} ${hash.slice(0, 8)}`,
  expireTime: expires && timestampMs(expires),
});

/**
 * Verifies static tokens.
 *
 * @param tokens gives them as they are now: one that was removed does not hold any longer.
 */
export const createTokenVerifier =
  (tokens: () => Tokens, now: () => Date) =>
  (token: string): Authenticated => {
    const hash = hashOf(token);
    const found = lookUp(tokens(), hash, now());
    if (found instanceof Failure) throw found;
    const lapsed = (): Failure | undefined =>
      lookUp(tokens(), hash, now()) instanceof Failure
        ? unauthenticated("EXPIRED", "the token that began this does not hold any longer", TOKEN)
        : undefined;
    return { principal: found, lapsed };
  };

function lookUp(tokens: Tokens, hash: string, now: Date): Principal | Failure {
  const principal = tokens.get(hash);
  if (principal === undefined) {
    return unauthenticated("UNKNOWN_TOKEN", "the token is none of this server's", TOKEN);
  }
  const expired = principal.expireTime !== undefined && principal.expireTime <= now.getTime();
  return expired ? unauthenticated("EXPIRED", "the token has expired", TOKEN) : principal;
}
