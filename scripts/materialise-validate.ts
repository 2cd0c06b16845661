import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { file_buf_validate_validate as validate } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { printProto } from "./print-proto.ts";

/**
 * Writes protovalidate's `buf/validate/validate.proto` below node_modules/.cache, so that `buf build` finds the import offline.
 *
 * No npm package carries the source, but protovalidate carries its descriptor: what is written compiles to that very descriptor
 * (test/scripts/materialise-validate.test.ts). It is generated on demand and never committed.
 */
const HEADER = `// Written from the descriptor in @bufbuild/protovalidate (Apache-2.0, Buf Technologies, Inc.), whose comments it lacks.
// Made by scripts/materialise-validate.ts; do not edit.

`;

const root = join(import.meta.dirname, "..");
const path = join(root, "node_modules/.cache/restartd/proto/buf/validate/validate.proto");
mkdirSync(dirname(path), { recursive: true });
writeFileSync(path, HEADER + printProto(validate));
