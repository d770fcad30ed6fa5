/** The documents as a site: every link of it leads somewhere, and nothing comes from elsewhere. */

import { existsSync, globSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { buildSite } from "../../scripts/docs-site.mjs";

let directory = "";
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "syncv3-site-"));
  await buildSite(directory);
});
afterAll(() => rm(directory, { recursive: true }));

const pages = () => globSync("**/*.html", { cwd: directory }).filter((page) => !page.startsWith("page/"));
const links = (html: string) => [...html.matchAll(/(?:href|src)="([^"]*)"/g)].map((match) => match[1] ?? "");

test("every document is a page", () => {
  const documents = globSync(["*.md", "docs/**/*.md", "packages/*/README.md"], { cwd: join(import.meta.dirname, "../..") });
  expect(pages()).toHaveLength(documents.length);
});

test("each link leads to a file of the site, and to a heading where it names one", () => {
  const broken = pages().flatMap((page) => {
    const html = readFileSync(join(directory, page), "utf8");
    return links(html)
      .filter((link) => !/^[a-z]+:/.test(link))
      .filter((link) => {
        const [path = "", hash] = link.split("#");
        const target = path === "" ? page : join(dirname(page), path);
        if (!existsSync(join(directory, target))) return true;
        return hash !== undefined && !readFileSync(join(directory, target), "utf8").includes(`id="${decodeURIComponent(hash)}"`);
      })
      .map((link) => `${page}: ${link}`);
  });
  expect(broken).toEqual([]);
});

test("nothing is loaded from elsewhere", () => {
  for (const page of pages()) {
    const html = readFileSync(join(directory, page), "utf8");
    expect(html, page).not.toMatch(/<script|<link [^>]*href="https?:|<img [^>]*src="https?:/);
  }
});
