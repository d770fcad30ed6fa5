/** What `syncv3 doctor` finds. */

/** `ok`; `warning`: works, but not for everybody or not well; `wrong`: clients fail, or something can be lost. */
export type Finding = { readonly verdict: "ok" | "warning" | "wrong"; readonly what: string; readonly advice?: string };

export const ok = (what: string): Finding[] => [{ verdict: "ok", what }];
export const warn = (what: string, advice: string): Finding[] => [{ verdict: "warning", what, advice }];
export const bad = (what: string, advice: string): Finding[] => [{ verdict: "wrong", what, advice }];
