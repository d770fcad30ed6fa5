#!/usr/bin/env bash
# postgres.js 3.4.9 (npm), Node 20 or later.
#
# Behaviour: of the start-up parameters that `connection: { … }` names, those with a falsy value are never sent to the server. `statement_timeout: 0` is
# left out without a word; `statement_timeout: "0"` is sent.
#
# Output seen: the number 0: application_name,client_encoding,database,user
#              the text "0": application_name,client_encoding,database,statement_timeout,user
#
# Why one would guess otherwise: 0 is PostgreSQL's way to switch a time-out off, and the option's documentation gives numbers as values. Whoever sets
# 0 to be safe from what a role or a database has set gets just that setting instead.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund postgres@3.4.9

cat > try.mjs <<'JS'
import { createServer } from "node:net";
import postgres from "postgres";

/** The names of the parameters in the start-up message that a connection with that value sends. */
async function namesSentWith(value) {
  const message = deferred();
  const server = createServer((socket) => {
    socket.once("data", (bytes) => {
      // Length (4 bytes), protocol version (4 bytes), then names and values, each ended by a zero byte.
      const texts = bytes.subarray(8).toString("utf8").split("\0");
      message.resolve(texts.filter((text, index) => index % 2 === 0 && text !== ""));
      socket.destroy();
    });
    socket.on("error", () => {});
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  const options = { host: "127.0.0.1", port, user: "u", database: "d", password: "p", max: 1, connection: { statement_timeout: value } };
  const sql = postgres(options);
  sql`select 1`.catch(() => {});
  const names = await message.promise;
  void sql.end({ timeout: 0 }).catch(() => {});
  server.close();
  return names.sort().join();
}

function deferred() {
  let resolve;
  return { promise: new Promise((done) => (resolve = done)), resolve: (value) => resolve(value) };
}

const [number, text] = [await namesSentWith(0), await namesSentWith("0")];
console.log(`the number 0: ${number}`);
console.log(`the text "0": ${text}`);
process.exit(!number.includes("statement_timeout") && text.includes("statement_timeout") ? 0 : 1);
JS
node try.mjs || { echo "postgres.js behaves otherwise now"; exit 1; }
