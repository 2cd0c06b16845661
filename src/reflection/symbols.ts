import { type DescFile, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import type { Schema } from "../core/schema.ts";

/** The file that declares each symbol: messages, fields, oneofs, enums and their values, extensions, services and methods. */
export function symbolsOf(schema: Schema): ReadonlyMap<string, DescFile> {
  const files = new Map<string, DescFile>();
  for (const desc of schema.registry) {
    files.set(desc.typeName, desc.file);
    switch (desc.kind) {
      case "message":
        for (const member of [...desc.fields, ...desc.oneofs]) {
          files.set(`${desc.typeName}.${member.name}`, desc.file);
        }
        break;
      case "enum": {
        // Values of an enum are its siblings, not its children.
        const scope = desc.typeName.slice(0, desc.typeName.lastIndexOf(".") + 1);
        for (const value of desc.values) {
          files.set(`${scope}${value.name}`, desc.file);
        }
        break;
      }
      case "service":
        for (const method of desc.methods) {
          files.set(`${desc.typeName}.${method.name}`, desc.file);
        }
        break;
    }
  }
  return files;
}

/** Serialises files, each once. */
export function fileSerializer(): (file: DescFile) => Uint8Array {
  const done = new Map<DescFile, Uint8Array>();
  return (file) => {
    let bytes = done.get(file);
    if (bytes === undefined) {
      bytes = toBinary(FileDescriptorProtoSchema, file.proto);
      done.set(file, bytes);
    }
    return bytes;
  };
}
