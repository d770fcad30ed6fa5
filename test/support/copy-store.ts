/** IndexedDB for Node, and what a test does with it. TypeScript has its types only together with a browser's, so the few needed stand here. */

import "fake-indexeddb/auto";

type Request<T> = { result: T; error: Error | null; onsuccess: () => void; onerror: () => void; onupgradeneeded?: () => void };
type Index = { readonly name: string; readonly keyPath: string | string[]; readonly unique: boolean; readonly multiEntry: boolean };
type ObjectStore = {
  readonly name: string;
  readonly keyPath: string | string[] | null;
  readonly autoIncrement: boolean;
  readonly indexNames: Iterable<string>;
  index(name: string): Index;
  createIndex(name: string, keyPath: string | string[], options: { unique: boolean; multiEntry: boolean }): Index;
  getAllKeys(): Request<unknown[]>;
  getAll(): Request<unknown[]>;
  put(value: unknown, key?: unknown): Request<unknown>;
};
type Database = {
  readonly version: number;
  readonly objectStoreNames: Iterable<string>;
  transaction(store: string, mode?: "readwrite"): { objectStore(name: string): ObjectStore };
  createObjectStore(name: string, options: { keyPath: string | string[] | null; autoIncrement: boolean }): ObjectStore;
  close(): void;
};
type Factory = { databases(): Promise<{ name?: string }[]>; open(name: string, version?: number): Request<Database> };

const { indexedDB } = globalThis as unknown as { indexedDB: Factory };

/** Copies all databases of a store to another name: the same device's keys in a second process, as an app and its extension have them. */
export async function copyStore(from: string, to: string): Promise<void> {
  for (const { name } of await indexedDB.databases()) {
    if (!name?.startsWith(from)) continue;
    const source = await done(indexedDB.open(name));
    const opening = indexedDB.open(name.replace(from, to), source.version);
    opening.onupgradeneeded = () => {
      for (const store of source.objectStoreNames) copyShape(source.transaction(store).objectStore(store), opening.result);
    };
    const target = await done(opening);
    for (const store of source.objectStoreNames) {
      const read = source.transaction(store).objectStore(store);
      const [keys, values] = await Promise.all([done(read.getAllKeys()), done(read.getAll())]);
      const write = target.transaction(store, "readwrite").objectStore(store);
      for (const [index, value] of values.entries()) await done(read.keyPath === null ? write.put(value, keys[index]) : write.put(value));
    }
    source.close();
    target.close();
  }
}

function copyShape(store: ObjectStore, database: Database): void {
  const copy = database.createObjectStore(store.name, { keyPath: store.keyPath, autoIncrement: store.autoIncrement });
  for (const name of store.indexNames) {
    const { keyPath, unique, multiEntry } = store.index(name);
    copy.createIndex(name, keyPath, { unique, multiEntry });
  }
}

function done<T>(request: Request<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"));
  });
}
