/** A page of some list. */
interface Page {
  readonly nextPageToken: string;
}

/** Longer lists end here: nobody reads further, and a vendor that never ends must not keep the page asking. */
const MOST_PAGES = 20;

/** Every page of a list that is short enough to be shown whole. */
export async function allPages<Answer extends Page>(ask: (pageToken: string) => Promise<Answer>): Promise<Answer[]> {
  const pages: Answer[] = [];
  for (let token = ""; pages.length < MOST_PAGES; ) {
    const page = await ask(token);
    pages.push(page);
    token = page.nextPageToken;
    if (token === "") break;
  }
  return pages;
}
