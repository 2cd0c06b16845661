import { options, type VNode } from "preact";
import { plain } from "../../core/plain.ts";

/**
 * Shows what others wrote harmlessly, wherever it stands: every text and every label of the page loses its control characters and
 * its changes of direction. Here and not at each place, so that none is forgotten.
 */
export function escapeTexts(): void {
  const before = options.vnode;
  options.vnode = (vnode: VNode) => {
    if (typeof vnode.type === "string") {
      const props = vnode.props as Record<string, unknown>;
      for (const name of ["children", "title", "aria-label", "aria-valuetext"]) {
        if (props[name] !== undefined) props[name] = escaped(props[name]);
      }
    }
    before?.(vnode);
  };
}

const escaped = (value: unknown): unknown =>
  typeof value === "string" ? plain(value) : Array.isArray(value) ? value.map(escaped) : value;
