import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { plain } from "../../core/plain.ts";
import { usePlace } from "../router.ts";
import { W } from "../words.ts";

/** What a page begins with. */
export interface PageProps {
  /** The one h1, and the document's title. */
  readonly title: string;
  /** A line above the title: where this belongs. */
  readonly above?: ComponentChildren;
  /** Beside the title: state and buttons. */
  readonly beside?: ComponentChildren;
  readonly children?: ComponentChildren;
}

/** A page: its title, which gets the focus after navigation, and what it shows. */
export function Page({ title, above, beside, children }: PageProps) {
  const heading = useRef<HTMLHeadingElement>(null);
  const { visit } = usePlace();
  // Both are of the same moment as what they name: who sees the page (or waits for a part of it) has the title and the focus of that page.
  useLayoutEffect(() => {
    document.title = `${plain(title)} · ${W.product}`;
  }, [title]);
  // Once for each visit.
  useLayoutEffect(() => {
    // Not at the first: the first Tab belongs to the link that skips the navigation.
    if (visit > 0) heading.current?.focus({ preventScroll: true });
  }, [visit]);
  return (
    <>
      <div class="head">
        <div>
          {above !== undefined && <p class="above">{above}</p>}
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
        </div>
        {beside !== undefined && <div class="beside">{beside}</div>}
      </div>
      {children}
    </>
  );
}

/** A part of a page under a heading. */
export function Section({ title, beside, children, wide }: SectionProps) {
  return (
    <section class={wide ? "wide" : undefined}>
      <div class="section-head">
        <h2>{title}</h2>
        {beside}
      </div>
      {children}
    </section>
  );
}

/** What {@link Section} is given. */
export interface SectionProps {
  readonly title: string;
  readonly beside?: ComponentChildren;
  readonly wide?: boolean;
  readonly children?: ComponentChildren;
}

/** Names and values, in the order given; those without a value are left out. */
export function Facts({ facts }: { readonly facts: readonly (readonly [name: string, value: ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== undefined && value !== "" && value !== null && value !== false)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
