#!/usr/bin/env bash
# Synapse 1.163.2 (PyPI: matrix-synapse), Python 3.10 or later.
#
# Behaviour: in a `GET /sync` without `since` whose timeline holds a room from its first event on (`limited: false`), `prev_batch` stands after the
# timeline, not before it: `/messages?dir=b` from there gives the events of the timeline again.
#
# Output seen: 11 events in the timeline, limited: False; a page back from its prev_batch gives 11 of them again
#
# Why one would guess otherwise: the specification has `prev_batch` as the token from which earlier events are retrieved, and where a timeline is
# limited Synapse's does just that. A client that takes a page of known events for the end of history stops there in other rooms, too.
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
        return json.load(answer)


for attempt in range(600):
    try:
        nonce = ask("GET", "/_synapse/admin/v1/register")["nonce"]
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.1)
else:
    sys.exit("Synapse did not start")
mac = hmac.new(b"finding", b"\0".join([nonce.encode(), b"alice", b"password", b"notadmin"]), hashlib.sha1).hexdigest()
body = {"nonce": nonce, "username": "alice", "password": "password", "admin": False, "mac": mac}
token = ask("POST", "/_synapse/admin/v1/register", body)["access_token"]
room = ask("POST", "/_matrix/client/v3/createRoom", {}, token)["room_id"]
path = f"/_matrix/client/v3/rooms/{urllib.parse.quote(room)}"
for n in range(5):
    ask("PUT", f"{path}/send/m.room.message/{n}", {"msgtype": "m.text", "body": str(n)}, token)
limit = urllib.parse.quote(json.dumps({"room": {"timeline": {"limit": 50}}}))
timeline = ask("GET", f"/_matrix/client/v3/sync?timeout=0&filter={limit}", token=token)["rooms"]["join"][room]["timeline"]
page = ask("GET", f"{path}/messages?dir=b&limit=50&from={urllib.parse.quote(timeline['prev_batch'])}", token=token)["chunk"]
known = {event["event_id"] for event in timeline["events"]}
again = sum(event["event_id"] in known for event in page)
print(f"{len(known)} events in the timeline, limited: {timeline['limited']}; a page back from its prev_batch gives {again} of them again")
sys.exit(0 if not timeline["limited"] and again > 0 else "Synapse behaves otherwise now")
PYTHON
python3 try.py "$port"
