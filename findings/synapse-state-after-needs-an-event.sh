#!/usr/bin/env bash
# Synapse 1.163.2 (PyPI: matrix-synapse), Python 3.10 or later.
#
# Behaviour: with `org.matrix.msc4222.use_state_after=true`, an answer to GET /sync has a change of state that came without an event (a state reset,
# a partial join that completes) only if something else of the room (an event, typing, a receipt) is in the same answer. Otherwise the room is not in
# the answer, `next_batch` passes the change, and no later answer has it.
#
# Output seen: the room is in the first answer: False; in the next one: topics []; the homeserver's topic: one
#
# Why one would guess otherwise: MSC4222 says that `state_after` has all state changes between the previous sync and the end of this one's timeline,
# so that a client which follows it has the homeserver's state.
set -eu

folder=$(mktemp -d)
server=
cleanup() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -z "$server" ] || wait "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap cleanup EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet --disable-pip-version-check matrix-synapse==1.163.2

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > homeserver.yaml <<YAML
server_name: hs.test
pid_file: $folder/pid
signing_key_path: $folder/key
report_stats: false
registration_shared_secret: finding
macaroon_secret_key: finding
trusted_key_servers: []
media_store_path: $folder/media
listeners: [{port: $port, bind_addresses: ["127.0.0.1"], type: http, resources: [{names: [client]}]}]
database: {name: sqlite3, args: {database: $folder/db}}
experimental_features: {msc4222_enabled: true}
YAML
env/bin/python -m synapse.app.homeserver --config-path homeserver.yaml --generate-keys > log 2>&1
start() {
  env/bin/python -m synapse.app.homeserver --config-path homeserver.yaml >> log 2>&1 &
  server=$!
}

cat > try.py <<'PYTHON'
import hashlib, hmac, json, sqlite3, sys, time, urllib.error, urllib.parse, urllib.request

base = f"http://127.0.0.1:{sys.argv[1]}"


def ask(method, path, body=None, token=None):
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(base + path, data, headers, method=method), timeout=60) as answer:
        return json.load(answer)


def path_of(room):
    return f"/_matrix/client/v3/rooms/{urllib.parse.quote(room)}"


def send(room, token):
    ask("PUT", f"{path_of(room)}/send/m.room.message/{time.time_ns()}", {"msgtype": "m.text", "body": "hello"}, token)


def sync(since, token):
    return ask("GET", f"/_matrix/client/v3/sync?since={since}&org.matrix.msc4222.use_state_after=true", token=token)


for attempt in range(600):
    try:
        nonce = ask("GET", "/_synapse/admin/v1/register")["nonce"]
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.1)
else:
    sys.exit("Synapse did not start")

if sys.argv[2] == "before":
    mac = hmac.new(b"finding", b"\0".join([nonce.encode(), b"alice", b"password", b"notadmin"]), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": "alice", "password": "password", "admin": False, "mac": mac}
    token = ask("POST", "/_synapse/admin/v1/register", body)["access_token"]
    rooms = [ask("POST", "/_matrix/client/v3/createRoom", {}, token)["room_id"] for _ in range(2)]
    one, two = [ask("PUT", f"{path_of(rooms[0])}/state/m.room.topic", {"topic": text}, token)["event_id"] for text in ("one", "two")]
    since = ask("GET", "/_matrix/client/v3/sync", token=token)["next_batch"]
    json.dump({"token": token, "rooms": rooms, "one": one, "two": two, "since": since}, open("known", "w"))
    sys.exit()

# While Synapse was stopped, `reset.py` has done what a state reset does to its tables: see below.
known = json.load(open("known"))
token, (room, other) = known["token"], known["rooms"]
send(other, token)
first = sync(known["since"], token)
named = room in first["rooms"]["join"]
send(room, token)
section = sync(first["next_batch"], token)["rooms"]["join"][room]
topics = [event["content"]["topic"] for event in section["org.matrix.msc4222.state_after"]["events"] if event["type"] == "m.room.topic"]
topic = ask("GET", f"{path_of(room)}/state/m.room.topic", token=token)["topic"]
print(f"the room is in the first answer: {named}; in the next one: topics {topics}; the homeserver's topic: {topic}")
sys.exit(0 if (named, topics, topic) == (False, [], "one") else "Synapse behaves otherwise now")
PYTHON

# The topic is "one" again, as of the next position of the stream of events.
cat > reset.py <<'PYTHON'
import json, sqlite3

known = json.load(open("known"))
db = sqlite3.connect("db")
(position,) = db.execute("select max(stream_ordering) + 1 from events").fetchone()
room = known["rooms"][0]
db.execute("update current_state_events set event_id = ? where room_id = ? and type = 'm.room.topic'", (known["one"], room))
db.execute(
    "insert into current_state_delta_stream (stream_id, room_id, type, state_key, event_id, prev_event_id, instance_name)"
    " values (?, ?, 'm.room.topic', '', ?, ?, 'master')",
    (position, room, known["one"], known["two"]),
)
db.commit()
PYTHON

start
python3 try.py "$port" before
kill "$server"
wait "$server" 2>/dev/null || true
python3 reset.py
start
python3 try.py "$port" after
