/** The findings of `syncv3 doctor`. */

/** `warning`: it works, but not for every client or not well. `error`: clients fail, or data can be lost. */
export type Finding = { readonly verdict: "ok" | "warning" | "error"; readonly what: string; readonly advice?: string };

export const ok = (what: string): Finding[] => [{ verdict: "ok", what }];
export const warn = (what: string, advice: string): Finding[] => [{ verdict: "warning", what, advice }];
export const bad = (what: string, advice: string): Finding[] => [{ verdict: "error", what, advice }];
