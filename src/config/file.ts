import { dirname } from "node:path";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Validator } from "@bufbuild/protovalidate";
import { decodeYaml, decodeYamlList } from "./decode.ts";
import { createReport, type Report } from "./report.ts";
import { brokenRules, knownBroken } from "./violations.ts";
import { readYaml } from "./yaml.ts";

/** A file that the configuration names, and how it is read. */
export interface NamedFile {
  /** Its absolute path. */
  readonly path: string;
  /** What messages call it. */
  readonly file: string;
  /** Whether it is a list, of the message whose one field that is, in place of a mapping. */
  readonly list?: boolean;
}

/** What a file says, and what is wrong with it so far. */
export interface ReadFile<Desc extends DescMessage> {
  /** Undefined when nothing can be told of it: the problems say why. */
  readonly message: MessageShape<Desc> | undefined;
  readonly report: Report;
}

/** Reads a YAML file as a message, and judges it by the message's rules. It may be read while the server runs. */
export function readNamedFile<Desc extends DescMessage>(
  schema: Desc,
  { path, file, list = false }: NamedFile,
  validator: Validator,
): ReadFile<Desc> {
  const source = readYaml(path, file);
  const origin = { file, folder: dirname(path) };
  if (!("root" in source)) {
    return {
      message: undefined,
      report: createReport({ ...origin, positionOf: () => undefined }, source, new Set()),
    };
  }
  const { message, problems, unreadable, positionOf } = list
    ? decodeYamlList(schema, source)
    : decodeYaml(schema, source);
  const report = createReport({ ...origin, positionOf }, problems, unreadable);
  for (const { path: at, about, message: wrong } of brokenRules(validator, schema, message)) {
    const inFile = list ? { path: at.slice(1), about: about.map((field) => field.slice(1)) } : { path: at, about };
    for (const broken of knownBroken([{ ...inFile, message: wrong }], unreadable)) {
      report.reader.problem(broken.path, broken.message);
    }
  }
  return { message, report };
}
