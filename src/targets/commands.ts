import { projectsWord } from "../clouds/huawei/command.ts";
import type { ListWord, TargetCommand } from "../core/command.ts";
import { arcgisCommand } from "./arcgis/command.ts";
import { cseCommand } from "./cse/command.ts";
import { dcsCommand } from "./dcs/command.ts";
import { ddmCommand } from "./ddm/command.ts";
import { kubernetesCommand } from "./kubernetes/command.ts";

/**
 * Every target's part of the command line, in the order of {@link file://./index.ts}. Apart from the targets themselves, so that the
 * client brings none of a server along.
 */
export const TARGET_COMMANDS: readonly TargetCommand[] = [
  kubernetesCommand,
  arcgisCommand,
  cseCommand,
  dcsCommand,
  ddmCommand,
];

/** Everything that `get` lists. */
export const LIST_WORDS: readonly ListWord[] = [...TARGET_COMMANDS.flatMap(({ lists }) => lists), projectsWord];
