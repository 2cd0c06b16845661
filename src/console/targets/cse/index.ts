import type { ConsoleTarget } from "../target.ts";
import { describeEngine } from "./name.ts";
import { EnginePage, Engines } from "./pages.tsx";

/** Engines of Huawei Cloud CSE. */
export const cse: ConsoleTarget = {
  OfProject: Engines,
  pages: [{ matches: (segments) => describeEngine(segments) !== undefined, Show: EnginePage }],
};
