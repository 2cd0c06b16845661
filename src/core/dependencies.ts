import type { DescFile } from "@bufbuild/protobuf";

/** Some files and all that they import, each once. */
export function withDependencies(roots: readonly DescFile[]): DescFile[] {
  const files = new Map<string, DescFile>();
  const add = (file: DescFile): void => {
    if (!files.has(file.proto.name)) {
      files.set(file.proto.name, file);
      file.dependencies.forEach(add);
    }
  };
  roots.forEach(add);
  return [...files.values()];
}
