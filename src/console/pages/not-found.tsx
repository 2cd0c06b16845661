import { Page } from "../parts/page.tsx";
import { ROOT } from "../router.ts";
import { W } from "../words.ts";

/** There is no such page. */
export function NotFoundPage({ path }: { readonly path: string }) {
  return (
    <Page title={W.notFound}>
      <p>{W.noPage(path)}</p>
      <p>
        <a href={ROOT}>{W.toTargets}</a>
      </p>
    </Page>
  );
}
