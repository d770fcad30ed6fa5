/** The base URL of a Matrix server, as an option gives it. */

/** A URL cannot be used for what the option is. The message is for the person who gave it, and shows no password. */
export class BadUrl extends Error {
  override readonly name = "BadUrl";
}

/** An http or https URL that ends before `/_matrix`, without slashes at its end. `option` is named in messages. @throws BadUrl */
export function parseBaseUrl(text: string, option: string): URL {
  const url = URL.parse(text.trim());
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new BadUrl(`${option}: "${text.trim().replace(/[^/]*@/, "")}" is not an http or https URL`);
  }
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    throw new BadUrl(`${option}: "${url.host}" must be given without user, query and fragment`);
  }
  if (/\/_matrix(\/|$)/.test(url.pathname)) throw new BadUrl(`${option}: the base URL ends before /_matrix: ${url.origin}`);
  url.pathname = url.pathname.replace(/\/+$/, "");
  return url;
}
