/** Parses the base URL of a Matrix server from an option. */

/** The URL cannot be used for this option. The message is for the operator and never contains the password. */
export class BadUrl extends Error {
  override readonly name = "BadUrl";
}

/** Parses an http or https URL without `/_matrix` and strips trailing slashes. Messages name `option`. @throws BadUrl */
export function parseBaseUrl(text: string, option: string): URL {
  const url = URL.parse(text.trim());
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new BadUrl(`${option}: "${text.trim().replace(/[^/]*@/, "")}" is not an http or https URL`);
  }
  if (url.search !== "" || url.hash !== "" || url.username !== "" || url.password !== "") {
    throw new BadUrl(`${option}: "${url.host}" must not contain a user, a query or a fragment`);
  }
  if (/\/_matrix(\/|$)/.test(url.pathname)) throw new BadUrl(`${option}: the base URL must end before /_matrix, for example ${url.origin}`);
  url.pathname = url.pathname.replace(/\/+$/, "");
  return url;
}
