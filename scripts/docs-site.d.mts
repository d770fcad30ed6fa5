/** Types of docs-site.mjs for the tests. */

/** Writes the documents as a site; `output` is emptied before. @throws where a link leads nowhere */
export function buildSite(output: string): Promise<{ readonly pages: number; readonly copied: number }>;
