/** Types of docs-site.mjs for the tests. */

/** The name that a heading can be linked by, as on GitHub. */
export function slugify(heading: string): string;

/** Writes the documents as a site; `output` is emptied before. @throws where a link leads nowhere */
export function buildSite(output: string): Promise<{ readonly pages: number; readonly copied: number }>;
