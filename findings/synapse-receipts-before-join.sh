#!/usr/bin/env bash
# Synapse 1.163.2 (PyPI: matrix-synapse), Python 3.10 or later.
#
# Behaviour: somebody who joins a room is not told by GET /sync with a `since` of the read receipts that are in the room already, not even of those
# on events in the timeline of the join. The same user's sync without `since`, and Synapse's sliding sync, have them at once.
#
# Output seen: bob joins after alice has read; with since from before: nothing; without since: ['@alice:hs.test']
#
# Why one would guess otherwise: a room that was just joined comes as a whole, with its state, account data and a timeline from before the join.
# Receipts alone are sent from `since` on, as in a room that the user was in all the while.
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
YAML
env/bin/python -m synapse.app.homeserver --config-path homeserver.yaml --generate-keys > log 2>&1
env/bin/python -m synapse.app.homeserver --config-path homeserver.yaml >> log 2>&1 &
server=$!

cat > try.py <<'PYTHON'
import hashlib, hmac, json, sys, time, urllib.error, urllib.parse, urllib.request

base = f"http://127.0.0.1:{sys.argv[1]}"


def ask(method, path, body=None, token=None):
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(base + path, data, headers, method=method), timeout=60) as answer:
        return answer.status, json.load(answer)


def up():
    for attempt in range(600):
        try:
            return ask("GET", "/_synapse/admin/v1/register")[1]["nonce"]
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    sys.exit("Synapse did not start")


def readers(answer):
    events = answer.get("rooms", {}).get("join", {}).get(room, {}).get("ephemeral", {}).get("events", [])
    users = {user for event in events if event["type"] == "m.receipt" for kinds in event["content"].values() for user in kinds.get("m.read", {})}
    return sorted(users) or "nothing"


def sync(query):
    return ask("GET", f"/_matrix/client/v3/sync?timeout=0&{query}", token=bob)[1]


def register(name):
    nonce = up()
    mac = hmac.new(b"finding", b"\0".join([nonce.encode(), name.encode(), b"password", b"notadmin"]), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": "password", "admin": False, "mac": mac}
    return ask("POST", "/_synapse/admin/v1/register", body)[1]["access_token"]


alice, bob = register("alice"), register("bob")
room = ask("POST", "/_matrix/client/v3/createRoom", {"preset": "public_chat"}, alice)[1]["room_id"]
place = f"/_matrix/client/v3/rooms/{urllib.parse.quote(room)}"
event = ask("PUT", f"{place}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello"}, alice)[1]["event_id"]
ask("POST", f"{place}/receipt/m.read/{urllib.parse.quote(event)}", {}, alice)
since = sync("")["next_batch"]
ask("POST", f"{place}/join", {}, bob)
answer = sync(f"since={since}")
timeline = [one["event_id"] for one in answer["rooms"]["join"][room]["timeline"]["events"]]
# The filter, since Synapse has kept its answer to the first sync.
told, there = readers(answer), readers(sync("filter=%7B%7D"))
print(f"bob joins after alice has read; with since from before: {told}; without since: {there}")
sys.exit(0 if event in timeline and (told, there) == ("nothing", ["@alice:hs.test"]) else "Synapse behaves otherwise now")
PYTHON
python3 try.py "$port"
