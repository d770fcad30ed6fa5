import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { halveQuestions, reserveQuestion } from "../../store/question-rate.ts";
import { QuestionBudget } from "./question-budget.ts";

const NEVER = new AbortController().signal;
/** One question in a thousand seconds, so that what the test itself takes does not count. */
const RATE = 0.001;
/** What is between two of them, ms: a tenth more than their share of the time. */
const INTERVAL = 1.1 * 1_000_000;

let db: TestDatabase;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(() => db.sql`update question_rate set next_at = now() - interval '1 day', halvings = 0`);

/** After how many intervals each of so many questions may be asked. */
async function intervals(count: number): Promise<number[]> {
  const waits = await Promise.all(Array.from({ length: count }, () => reserveQuestion(db.sql, RATE)));
  return waits.map((ms) => Math.round(ms / INTERVAL)).toSorted((a, b) => a - b);
}

test("T1: questions keep to the rate, shared by all processes, also after a pause", async () => {
  expect(await intervals(4)).toEqual([0, 1, 2, 3]);
  expect(await intervals(2)).toEqual([4, 5]);
});

test("T1: each trouble halves the rate; it is whole again some minutes later", async () => {
  await halveQuestions(db.sql);
  await halveQuestions(db.sql);
  expect(await intervals(3)).toEqual([0, 4, 8]);
  for (let i = 0; i < 20; i += 1) await halveQuestions(db.sql);
  await db.sql`update question_rate set next_at = now()`;
  expect(await intervals(2)).toEqual([0, 256]);
  await db.sql`update question_rate set next_at = now(), troubled_at = now() - interval '9 minutes'`;
  expect(await intervals(2)).toEqual([0, 1]);
});

test("T1: questions for clients come first, whoever has waited longer; one of four is for nobody all the same", async () => {
  const budget = new QuestionBudget({ sql: db.sql, perSecond: 1000 });
  const order: string[] = [];
  const take = (urgency: "client" | "nobody", name: string) => budget.take(urgency, NEVER).then(() => order.push(name));
  const clients = ["c1", "c2", "c3", "c4"].map((name) => ["client", name] as const);
  await Promise.all([take("nobody", "n1"), take("nobody", "n2"), ...clients.map(([urgency, name]) => take(urgency, name))]);
  expect(order).toEqual(["c1", "c2", "c3", "n1", "c4", "n2"]);
});

test("T1: who stops waiting delays nobody, and a database that is away ends the wait", async () => {
  const budget = new QuestionBudget({ sql: db.sql, perSecond: 1000 });
  const stop = new AbortController();
  const waiting = budget.take("client", stop.signal);
  stop.abort(new Error("stopped"));
  await expect(waiting).rejects.toThrow("stopped");
  await budget.take("nobody", NEVER);
  const away = new QuestionBudget({ sql: { ...db.sql } as never, perSecond: 1000 });
  await expect(away.take("nobody", NEVER)).rejects.toThrow();
});
