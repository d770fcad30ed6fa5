/**
 * `npm run docs [-- DIRECTORY]`: the documents as a site, in `site/` or the directory: plain files, to be served by anything. What documents
 * link to is copied; a link that leads nowhere ends it.
 */

import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, normalize, relative } from "node:path";
import { argv, exit } from "node:process";
import { pathToFileURL } from "node:url";
import { installOnce, ROOT } from "./install.mjs";

/** In the order of the menu. */
const SECTIONS = {
  "To use it": ["README.md", "docs/OPERATIONS.md", "docs/MIGRATING.md", "docs/SCALING.md"],
  "To write clients": ["docs/PROTOCOL.md", "packages/client/README.md"],
  "To know it": [
    "docs/ARCHITECTURE.md",
    "docs/CONFORMANCE.md",
    "docs/PERFORMANCE.md",
    "docs/RELIABILITY.md",
    "docs/THREAT-MODEL.md",
    "docs/adr/*.md",
  ],
  "The project": ["CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"],
};
const INDEX = "README.md";

const STYLE = `:root { color-scheme: light dark; --dim: light-dark(#5c6370, #9aa2b1); --line: light-dark(#d9dce3, #343944); --raised: light-dark(#f3f4f7, #1f2229); --accent: light-dark(#0b57d0, #8ab4f8);
  font: 16px/1.6 system-ui, sans-serif; background: light-dark(#fff, #16181d); color: light-dark(#1b1d22, #e6e8ec); }
body { margin: 0; display: grid; grid-template-columns: 17em minmax(0, 60em); }
nav { padding: 1.5em; border-inline-end: 1px solid var(--line); font-size: 0.9em; position: sticky; top: 0; height: 100vh; overflow: auto; box-sizing: border-box; }
nav h2 { font-size: 1em; margin: 1em 0 0.2em; } nav ul { list-style: none; margin: 0; padding: 0; }
main { padding: 1.5em 2.5em; } a { color: var(--accent); } [aria-current] { font-weight: bold; color: inherit; text-decoration: none; }
pre, code { background: var(--raised); border-radius: 4px; font-size: 0.9em; } code { padding: 0.1em 0.3em; overflow-wrap: anywhere; } pre { padding: 1em; overflow: auto; } pre code { padding: 0; }
table { border-collapse: collapse; display: block; overflow: auto; } th, td { border: 1px solid var(--line); padding: 0.3em 0.6em; text-align: start; vertical-align: top; }
img { max-width: 100%; border: 1px solid var(--line); border-radius: 6px; }
@media (max-width: 50em) { body { display: block; } nav { position: static; height: auto; border: 0; border-bottom: 1px solid var(--line); } main { padding: 1em; } }
`;

/** Writes the site; `output` is emptied before. @throws where a link leads nowhere */
export async function buildSite(output) {
  const [{ default: markdownIt }, { default: anchor }] = await Promise.all([import("markdown-it"), import("markdown-it-anchor")]);
  const markdown = markdownIt({ html: false }).use(anchor, { slugify });
  const sections = Object.entries(SECTIONS).map(([title, patterns]) => ({
    title,
    inside: patterns.flatMap((pattern) => globSync(pattern, { cwd: ROOT }).toSorted()),
  }));
  const pages = sections.flatMap(({ inside }) => inside);
  const texts = new Map(pages.map((page) => [page, readFileSync(join(ROOT, page), "utf8")]));
  const copied = new Set();
  rmSync(output, { recursive: true, force: true });

  const follow = (page, link) => {
    if (/^[a-z]+:|^#/.test(link)) return link;
    const [path, hash] = link.split("#");
    const target = normalize(join(dirname(page), path));
    if (!existsSync(join(ROOT, target))) throw new Error(`${page}: ${link} leads nowhere`);
    if (!texts.has(target)) copied.add(target);
    return relative(dirname(page), texts.has(target) ? fileOf(target) : target) + (hash === undefined ? "" : `#${hash}`);
  };
  const menu = (page) =>
    sections
      .map(({ title, inside }) => {
        const items = inside.map((one) => {
          const current = one === page ? ' aria-current="page"' : "";
          return `<li><a href="${relative(dirname(page), fileOf(one))}"${current}>${markdown.renderInline(titleOf(texts.get(one)))}</a></li>`;
        });
        return `<h2>${title}</h2><ul>${items.join("")}</ul>`;
      })
      .join("");

  for (const [page, text] of texts) {
    const tokens = markdown.parse(text, {});
    for (const token of tokens.flatMap((one) => [one, ...(one.children ?? [])])) {
      for (const name of ["href", "src"]) if (token.attrGet(name) !== null) token.attrSet(name, follow(page, token.attrGet(name)));
    }
    const body = markdown.renderer.render(tokens, markdown.options, {});
    const title = titleOf(text).replaceAll(/[`*<]/g, "");
    const style = relative(dirname(page), "style.css");
    write(
      join(output, fileOf(page)),
      `<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${title}</title><link rel="stylesheet" href="${style}"></head>\n<body><nav aria-label="Documents">${menu(page)}</nav>\n<main>\n${body}</main></body>\n</html>\n`,
    );
  }
  write(join(output, "style.css"), STYLE);
  for (const path of copied) cpSync(join(ROOT, path), join(output, path), { recursive: true });
  return { pages: pages.length, copied: copied.size };
}

/** As on GitHub: what links in the documents are made for. */
export function slugify(heading) {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

function titleOf(text) {
  return /^# (.+)$/m.exec(text)?.[1] ?? "";
}

function fileOf(page) {
  return page === INDEX ? "index.html" : page.replace(/\.md$/, ".html");
}

function write(path, text) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

if (import.meta.url === pathToFileURL(argv[1] ?? "").href) {
  installOnce();
  const output = argv[2] ?? join(ROOT, "site");
  try {
    const { pages, copied } = await buildSite(output);
    console.log(`${pages} pages and ${copied} other files in ${output}`);
  } catch (error) {
    console.error(`syncv3: ${error.message}`);
    exit(1);
  }
}
