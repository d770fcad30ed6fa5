/**
 * JSON text read as ruma (serde_json) reads it: not what JavaScript makes of it, but what is written there. `50.0` is no integer, a lone
 * surrogate no text, a member of a struct may stand there once. What is raw to ruma is raw here: well-formed JSON, and no more is asked.
 */

import { decodeString, skipSpace, skipValue, walkElements, walkMembers } from "../../src/wire/json-scan.ts";

/** Reads the value at `start`, which stands at `path`; its end. @throws Refused */
export type Shape = (text: string, start: number, path: string) => number;

export class Refused extends Error {
  override readonly name = "Refused";
}

function refuse(path: string, reason: string): never {
  throw new Refused(`${path}: ${reason}`);
}

/** Any value, looked into by nobody. */
export const raw: Shape = (text, start) => skipValue(text, start);

function scalar(what: string, isOne: (text: string) => boolean): Shape {
  return (text, start, path) => {
    const end = skipValue(text, start);
    if (!isOne(text.slice(start, end))) refuse(path, `${text.slice(start, Math.min(end, start + 60))} is no ${what}`);
    return end;
  };
}

export const bool = scalar("boolean", (text) => text === "true" || text === "false");
/** js_int's UInt. */
export const uint = scalar("integer from 0 to 2^53 - 1", (text) => /^(?:0|[1-9]\d*)$/.test(text) && Number(text) <= Number.MAX_SAFE_INTEGER);
export const number = scalar("number", (text) => /^-?\d/.test(text) && Number.isFinite(Number(text)));

/** A well-formed text, and what else is asked of it. */
export function str(isOne: (value: string) => boolean = () => true, what = "well-formed text"): Shape {
  return scalar(what, (text) => {
    const value = text.startsWith('"') ? decodeString(text, 0, text.length) : "\ud800";
    return value.isWellFormed() && isOne(value);
  });
}

export function orNull(shape: Shape): Shape {
  return (text, start, path) => (text.startsWith("null", start) ? start + 4 : shape(text, start, path));
}

export function list(shape: Shape): Shape {
  return (text, start, path) => {
    if (text[start] !== "[") refuse(path, "no list");
    let index = 0;
    return walkElements(text, start, (at) => shape(text, skipSpace(text, at), `${path}[${index++}]`));
  };
}

export function map(key: Shape, value: Shape): Shape {
  return (text, start, path) => {
    if (text[start] !== "{") refuse(path, "no object");
    return walkMembers(text, start, (name, at, keyStart) => {
      key(text, keyStart, `a key of ${path}`);
      return value(text, at, `${path}.${name.slice(0, 80)}`);
    });
  };
}

/** `required` members have to be there; those that are not named are read as `others`. */
export function struct(members: Readonly<Record<string, Shape>>, required: readonly string[] = [], others: Shape = raw): Shape {
  const key = str();
  return (text, start, path) => {
    if (text[start] !== "{") refuse(path, "no object");
    const seen = new Set<string>();
    const end = walkMembers(text, start, (name, at, keyStart) => {
      key(text, keyStart, `a key of ${path}`);
      const shape = Object.hasOwn(members, name) ? members[name] : undefined;
      if (shape && seen.has(name)) refuse(path, `${name} is there twice`);
      seen.add(name);
      return (shape ?? others)(text, at, `${path}.${name.slice(0, 80)}`);
    });
    const missing = required.find((name) => !seen.has(name));
    if (missing !== undefined) refuse(path, `${missing} is missing`);
    return end;
  };
}

/** Any value of well-formed texts, nested as deep as serde_json goes. */
export const sound: Shape = (text, start, path) => soundWithin(128)(text, start, path);

function soundWithin(levels: number): Shape {
  return (text, start, path) => {
    if (levels === 0) refuse(path, "too deep");
    const inner: Shape = (...at) => soundWithin(levels - 1)(...at);
    if (text[start] === "{") return map(str(), inner)(text, start, path);
    if (text[start] === "[") return list(inner)(text, start, path);
    return text[start] === '"' ? str()(text, start, path) : raw(text, start, path);
  };
}
