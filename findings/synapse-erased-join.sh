#!/usr/bin/env bash
# Synapse 1.163.2 (PyPI: matrix-synapse), Python 3.10 or later.
#
# Behaviour: when a user is deactivated with `erase: true`, users who were in a room with them go on seeing the old messages, but the old join event
# loses its display name, under the same event id. No answer to a `since` says so: only a sync without `since` shows it.
#
# Output seen: before [{'displayname': 'bob', 'membership': 'join'}, {'body': 'hello', 'msgtype': 'm.text'}]; changed since [{'membership': 'join'}], of
# these in the answer since then: 0
#
# Why one would guess otherwise: events do not change except by redactions, which are told. And the documentation of erasure says that users who have
# seen an event go on seeing it.
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
caches: {sync_response_cache_duration: 0s}
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


for attempt in range(600):
    try:
        ask("GET", "/_synapse/admin/v1/register")
        break
    except (urllib.error.URLError, ConnectionError):
        time.sleep(0.1)
else:
    sys.exit("Synapse did not start")

def register(name, admin):
    nonce = ask("GET", "/_synapse/admin/v1/register")[1]["nonce"]
    flag = "admin" if admin else "notadmin"
    mac = hmac.new(b"finding", b"\0".join([part.encode() for part in (nonce, name, "password", flag)]), hashlib.sha1).hexdigest()
    body = {"nonce": nonce, "username": name, "password": "password", "admin": admin, "mac": mac}
    return ask("POST", "/_synapse/admin/v1/register", body)[1]["access_token"]


alice, bob, admin = register("alice", False), register("bob", False), register("admin", True)
room = ask("POST", "/_matrix/client/v3/createRoom", {"preset": "public_chat"}, alice)[1]["room_id"]
path = f"/_matrix/client/v3/rooms/{urllib.parse.quote(room)}"
ask("POST", f"{path}/join", {}, bob)
ask("PUT", f"{path}/send/m.room.message/1", {"msgtype": "m.text", "body": "hello"}, bob)


def sync(since=""):
    return ask("GET", "/_matrix/client/v3/sync?timeout=0" + (f"&since={since}" if since else ""), token=alice)[1]


def bobs(answer):
    events = answer["rooms"]["join"][room]["timeline"]["events"]
    return {event["event_id"]: event["content"] for event in events if event["sender"] == "@bob:hs.test"}


first = sync()
before = bobs(first)
user = urllib.parse.quote("@bob:hs.test")
ask("POST", f"/_synapse/admin/v1/deactivate/{user}", {"erase": True}, admin)
while ask("GET", f"/_synapse/admin/v1/users/{user}/joined_rooms", token=admin)[1]["total"]:
    time.sleep(0.1)
told, after = bobs(sync(first["next_batch"])), bobs(sync())
changed = {key for key in before if after[key] != before[key]}
print(f"before {list(before.values())}; changed since {[after[key] for key in changed]}, of these in the answer since then: {len(changed & set(told))}")
good = len(changed) == 1 and not changed & set(told) and [after[key] for key in changed] == [{"membership": "join"}]
sys.exit(0 if good else "Synapse behaves otherwise now")
PYTHON
python3 try.py "$port"
