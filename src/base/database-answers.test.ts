import { expect, test } from "vitest";
import { databaseAnswer } from "./database-answers.ts";

const failing = (code: string) => Object.assign(new Error('relation "accounts" of @alice:test'), { code });

test.each([
  ["08006", /is away/, /that PostgreSQL is running/],
  ["25006", /is away/, /is read-only/],
  ["25P04", /took too long/, /transaction_timeout/],
  ["26000", /cannot be used/, /schema/],
  ["28P01", /cannot be used/, /lacks a privilege/],
  ["40001", /is busy/, /conflicted/],
  ["42501", /cannot be used/, /lacks a privilege/],
  ["42703", /cannot be used/, /schema/],
  ["42883", /cannot be used/, /schema/],
  ["42P01", /cannot be used/, /schema/],
  ["53100", /is away/, /free some space/],
  ["53200", /is away/, /out of memory/],
  ["55000", /cannot be used/, /state/],
  ["55P03", /is busy/, /lock_timeout/],
  ["57014", /took too long/, /statement_timeout/],
  ["57P01", /is away/, /stopping or starting/],
  ["58030", /is away/, /disk/],
  ["ECONNREFUSED", /is away/, /that PostgreSQL is running/],
  ["XX002", /cannot be used/, /corrupted/],
])("N8: %s is the database's own trouble: words for clients, others for the operator", (code, client, operator) => {
  const answer = databaseAnswer(failing(code));
  expect(answer?.client).toMatch(client);
  expect(answer?.operator).toMatch(operator);
  expect(answer?.retryAfter).toBeGreaterThan(0);
  // Nothing of the error itself reaches a client.
  expect(answer?.client).not.toMatch(/accounts|alice/);
});

test.each(["22P02", "23505", "21000", "42601", "54000", "P0001", "XX000", "UNDEFINED_VALUE"])("N8: %s is our own fault, and no outage", (code) => {
  expect(databaseAnswer(failing(code))).toBeNull();
});
